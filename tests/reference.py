# SPDX-License-Identifier: Apache-2.0
"""What fastreg must compute, in plain numpy and float64, sharing no code with it."""

import numpy as np

PHILOX_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
PHILOX_KEY_STEPS = 0x9E3779B9, 0xBB67AE85
SCRAMBLE_KEY = 0x3EC8F720, 0x02461E29
LOW_WORD = 0xFFFFFFFF
SEED_MODULUS = 2**31 - 2  # Keras's int32.max - 1
MASK_EPSILON = 1e-7  # keras.backend.epsilon(), added to a mask's count


def l1_l2_penalty(w, l1=0.0, l2=0.0):
    w = np.asarray(w).astype(np.float64)
    # A branch whose coefficient is 0 is skipped, so that 0 * inf never arises.
    return (l1 * np.sum(np.abs(w)) if l1 else 0.0) + (l2 * np.sum(w * w) if l2 else 0.0)


def l1_l2_gradient(w, l1=0.0, l2=0.0):
    w = w.astype(np.float64)
    return (l1 * np.sign(w) if l1 else np.zeros_like(w)) + (2 * l2 * w if l2 else 0.0)


def philox4x32(counter, key):
    """Ten rounds on four words of 32 bits; each word is an int or an array."""
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = key
    low, half = np.uint64(LOW_WORD), np.uint64(32)
    for _ in range(10):
        product0 = np.uint64(PHILOX_MULTIPLIERS[0]) * c0
        product1 = np.uint64(PHILOX_MULTIPLIERS[1]) * c2
        c0, c1, c2, c3 = (
            (product1 >> half) ^ c1 ^ np.uint64(k0),
            product1 & low,
            (product0 >> half) ^ c3 ^ np.uint64(k1),
            product0 & low,
        )
        k0 = (k0 + PHILOX_KEY_STEPS[0]) & LOW_WORD
        k1 = (k1 + PHILOX_KEY_STEPS[1]) & LOW_WORD
    return c0, c1, c2, c3


def seed_pair(seed):
    first, second = (seed, 0) if np.ndim(seed) == 0 else seed
    return int(first) % SEED_MODULUS, int(second) % SEED_MODULUS


def uniform(seed, count):
    """float32 in [0, 1), as TensorFlow's stateless_uniform draws it for that seed."""
    first, second = seed_pair(seed)
    counter = first & LOW_WORD, first >> 32, second & LOW_WORD, second >> 32
    w0, w1, w2, w3 = (int(word) for word in philox4x32(counter, SCRAMBLE_KEY))
    block = np.arange((count + 3) // 4, dtype=np.uint64)
    start = block & np.uint64(LOW_WORD), block >> np.uint64(32), w2, w3
    words = np.stack(philox4x32(start, (w0, w1)), axis=-1).reshape(-1)[:count]
    return (words & np.uint64(0x7FFFFF)).astype(np.float32) / np.float32(2**23)


def concrete_noise_shape(shape, noise_shape):
    if noise_shape is None:
        return shape
    return tuple(shape[i] if size is None else size for i, size in enumerate(noise_shape))


def keep_mask(shape, rate, seed, noise_shape=None):
    noise_shape = concrete_noise_shape(shape, noise_shape)
    u = uniform(seed, int(np.prod(noise_shape, dtype=np.int64)))
    return np.broadcast_to((u >= np.float32(rate)).reshape(noise_shape), shape)


def dropout(x, rate, seed, noise_shape=None):
    """Exact, so bits can be compared: one multiplication in the computation's dtype."""
    if rate == 1:
        return np.zeros_like(x)
    keep = keep_mask(x.shape, rate, seed, noise_shape)
    compute = np.float64 if x.dtype == np.float64 else np.float32
    with np.errstate(over="ignore"):
        scaled = x.astype(compute) * compute(1 / (1 - rate))
        return np.where(keep, scaled.astype(x.dtype), x.dtype.type(0))


def along(statistic, ndim, axis):
    """A vector over the channels, shaped to broadcast against an array of `ndim` axes."""
    shape = [1] * ndim
    shape[axis] = -1
    return np.reshape(np.asarray(statistic, np.float64), shape)


def moments(x, axis=-1, mask=None):
    """(weights, total, deviation, mean, variance), all broadcastable against x.

    `mask` is boolean or holds weights; a value of weight 0 is not read, so it may be NaN.

    The mean is found in two steps, so that float64 loses nothing where |mean| >> std.
    """
    x = x.astype(np.float64)
    axis %= x.ndim
    others = tuple(i for i in range(x.ndim) if i != axis)

    def total_of(values):
        return np.sum(values, axis=others, keepdims=True)

    weights = np.ones(x.shape)
    if mask is not None:
        weights *= np.expand_dims(mask, axis)
    used = weights != 0
    count = total_of(weights)
    total = count + (0.0 if mask is None else MASK_EPSILON)
    rough = total_of(weights * np.where(used, x, 0.0)) / np.where(count > 0, count, 1.0)
    residual = total_of(weights * np.where(used, x - rough, 0.0))
    shift = (residual - rough * (total - count)) / total
    deviation = (x - rough) - shift
    variance = total_of(weights * np.where(used, deviation, 0.0) ** 2) / total
    return weights, total, deviation, rough + shift, variance


def batch_norm(x, gamma=None, beta=None, axis=-1, epsilon=1e-3, mask=None):
    _, _, deviation, mean, variance = moments(x, axis, mask)
    y = deviation / np.sqrt(variance + epsilon)
    y = y if gamma is None else y * along(gamma, x.ndim, axis)
    y = y if beta is None else y + along(beta, x.ndim, axis)
    return y, mean.reshape(-1), variance.reshape(-1)


def batch_norm_inference(x, mean, variance, gamma=None, beta=None, axis=-1, epsilon=1e-3):
    deviation = x.astype(np.float64) - along(mean, x.ndim, axis)
    y = deviation / np.sqrt(along(variance, x.ndim, axis) + epsilon)
    y = y if gamma is None else y * along(gamma, x.ndim, axis)
    return y if beta is None else y + along(beta, x.ndim, axis)


def batch_norm_gradient(grad, x, gamma=None, axis=-1, epsilon=1e-3, mask=None):
    """Through mean and variance as `moments` defines them, the mask's 1e-7 included."""
    weights, total, deviation, _, variance = moments(x, axis, mask)
    others = tuple(i for i in range(x.ndim) if i != axis % x.ndim)

    def total_of(values):
        return np.sum(values, axis=others, keepdims=True)

    grad = grad.astype(np.float64)
    inv_std = 1 / np.sqrt(variance + epsilon)
    grad_beta = total_of(grad)
    grad_gamma = total_of(grad * deviation * inv_std)
    grad_normalized = grad if gamma is None else grad * along(gamma, x.ndim, axis)
    grad_variance = total_of(grad_normalized * deviation) * (-0.5 * inv_std**3)
    grad_mean = -inv_std * total_of(grad_normalized)
    grad_mean = grad_mean - 2 * grad_variance * total_of(weights * deviation) / total
    grad_x = grad_normalized * inv_std
    grad_x = grad_x + weights * (grad_mean + 2 * grad_variance * deviation) / total
    return grad_x, grad_gamma.reshape(-1), grad_beta.reshape(-1)


def differences(loss, argument, step=1e-5):
    """The gradient of a scalar loss by central differences, changing `argument` in place."""
    gradient = np.empty_like(argument)
    for i in np.ndindex(argument.shape):
        value = argument[i]
        argument[i] = value + step
        above = loss()
        argument[i] = value - step
        gradient[i] = (above - loss()) / (2 * step)
        argument[i] = value
    return gradient
