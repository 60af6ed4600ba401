# SPDX-License-Identifier: Apache-2.0
"""What fastreg must compute, in plain numpy and float64, sharing no code with it."""

import numpy as np

PHILOX_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
PHILOX_KEY_STEPS = 0x9E3779B9, 0xBB67AE85
SCRAMBLE_KEY = 0x3EC8F720, 0x02461E29
LOW_WORD = 0xFFFFFFFF
# The stream "fast": fewer rounds, and counters of its own for first bytes and for ties.
FAST_ROUNDS, FAST_DOMAIN, TIE_DOMAIN = 7, 0x80000000, 0x40000000
SEED_MODULUS = 2**31 - 2  # Keras's int32.max - 1
MASK_EPSILON = 1e-7  # keras.backend.epsilon(), added to a mask's count


def l1_l2_penalty(w, l1=0.0, l2=0.0):
    w = np.asarray(w).astype(np.float64)
    # A branch whose coefficient is 0 is skipped, so that 0 * inf never arises.
    return (l1 * np.sum(np.abs(w)) if l1 else 0.0) + (l2 * np.sum(w * w) if l2 else 0.0)


def l1_l2_gradient(w, l1=0.0, l2=0.0):
    w = w.astype(np.float64)
    return (l1 * np.sign(w) if l1 else np.zeros_like(w)) + (2 * l2 * w if l2 else 0.0)


def philox4x32(counter, key, rounds=10):
    """`rounds` rounds on four words of 32 bits; each word is an int or an array."""
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = key
    low, half = np.uint64(LOW_WORD), np.uint64(32)
    for _ in range(rounds):
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


def words_of_blocks(seed, blocks, rounds=10, domain=0):
    """The four words of each of the generator's numbered `blocks`, along a new last axis."""
    first, second = seed_pair(seed)
    counter = first & LOW_WORD, first >> 32, second & LOW_WORD, second >> 32
    w0, w1, w2, w3 = (int(word) for word in philox4x32(counter, SCRAMBLE_KEY))
    blocks = np.asarray(blocks, np.uint64)
    start = blocks & np.uint64(LOW_WORD), blocks >> np.uint64(32), w2, w3 ^ domain
    return np.stack(philox4x32(start, (w0, w1), rounds), axis=-1)


def uniform(seed, count, first=0):
    """float32 in [0, 1), as TensorFlow's stateless_uniform draws it for that seed.

    The `count` values from element `first` on.
    """
    blocks = np.arange(first // 4, (first + count + 3) // 4, dtype=np.uint64)
    words = words_of_blocks(seed, blocks).reshape(-1)[first % 4 :][:count]
    return (words & np.uint64(0x7FFFFF)).astype(np.float32) / np.float32(2**23)


def fast_uniform(seed, count, first=0):
    """float64 in [0, 1), 32 bits each: a byte of a shared block, then 24 of one's own."""
    blocks = np.arange(first // 16, (first + count + 15) // 16, dtype=np.uint64)
    words = words_of_blocks(seed, blocks, FAST_ROUNDS, FAST_DOMAIN).astype("<u4")
    byte = words.reshape(-1).view(np.uint8)[first % 16 :][:count]
    elements = np.arange(first, first + count, dtype=np.uint64)
    rest = words_of_blocks(seed, elements, FAST_ROUNDS, TIE_DOMAIN)[..., 0] & np.uint64(0xFFFFFF)
    return byte / 2**8 + rest / 2**32


def kept(rate, seed, count, first=0, rng="keras"):
    """Whether each of the `count` mask elements from `first` on is kept, for 0 < rate < 1."""
    if rng == "keras":
        # TensorFlow flushes denormals: such a rate drops nothing.
        threshold = rate if rate >= np.finfo(np.float32).smallest_normal else 0
        return uniform(seed, count, first) >= np.float32(threshold)
    # A rate is heeded to 2**-32; the last element of that grid is always kept.
    return fast_uniform(seed, count, first) >= min(rate, 1 - 2.0**-32)


def concrete_noise_shape(shape, noise_shape):
    if noise_shape is None:
        return shape
    return tuple(shape[i] if size is None else size for i, size in enumerate(noise_shape))


def keep_mask(shape, rate, seed, noise_shape=None, rng="keras"):
    noise_shape = concrete_noise_shape(shape, noise_shape)
    mask = kept(rate, seed, int(np.prod(noise_shape, dtype=np.int64)), rng=rng)
    return np.broadcast_to(mask.reshape(noise_shape), shape)


def dropout(x, rate, seed, noise_shape=None, rng="keras"):
    """Exact, so bits can be compared: one multiplication in the computation's dtype."""
    if rate in (0, 1):
        return x.copy() if rate == 0 else np.zeros_like(x)
    keep = keep_mask(x.shape, rate, seed, noise_shape, rng)
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
    excess = 0.0 if mask is None else MASK_EPSILON
    total = count + excess
    rough = total_of(weights * np.where(used, x, 0.0)) / np.where(count > 0, count, 1.0)
    residual = total_of(weights * np.where(used, x - rough, 0.0))
    shift = (residual - rough * excess) / total
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
