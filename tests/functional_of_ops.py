# SPDX-License-Identifier: Apache-2.0
"""`fastreg.ops` with the calls of `fastreg.functional`: one table of results serves both."""

from types import SimpleNamespace

from tensors import gradients, on_arrays, ops


def functional_of_ops(mode):
    """Its gradients are those that TensorFlow's tape finds."""
    traces = {}

    def call(function, options, *arrays):
        """Calls of one function with equal options share their traces."""
        given = [array for array in arrays if array is not None]

        def on_given(*tensors):
            tensors = iter(tensors)
            return function(*(None if a is None else next(tensors) for a in arrays), **options)

        key = function, *map(str, options.items()), *(array is None for array in arrays)
        return traces.setdefault(key, on_arrays(on_given, mode))(*given)

    def l1_l2_penalty(w, l1, l2):
        return call(ops.l1_l2_penalty, {"l1": l1, "l2": l2}, w)

    def l1_l2_gradient(w, l1, l2):
        return call(_penalty_gradient, {"l1": l1, "l2": l2}, w)

    def dropout(x, rate, seed, **options):
        return call(ops.dropout, {"rate": rate, "seed": seed, **options}, x)

    def dropout_gradient(grad, rate, seed, **options):
        return call(_dropout_gradient, {"rate": rate, "seed": seed, **options}, grad, grad)

    def batch_norm(x, gamma=None, beta=None, *, mask=None, **options):
        return call(_batch_norm, options, x, gamma, beta, mask)

    def batch_norm_gradient(grad, x, mean, variance, gamma=None, *, mask=None, **options):
        # The tape takes the mean and the variance that the op itself has returned.
        return call(_batch_norm_gradient, options, grad, x, gamma, mean * 0, mask)

    def batch_norm_inference(x, mean, variance, gamma=None, beta=None, **options):
        return call(ops.batch_norm_inference, options, x, mean, variance, gamma, beta)

    return SimpleNamespace(
        l1_l2_penalty=l1_l2_penalty,
        l1_l2_gradient=l1_l2_gradient,
        l1_l2_penalty_and_gradient=lambda w, *factors: (
            l1_l2_penalty(w, *factors),
            l1_l2_gradient(w, *factors),
        ),
        dropout=dropout,
        dropout_gradient=dropout_gradient,
        batch_norm=batch_norm,
        batch_norm_gradient=batch_norm_gradient,
        batch_norm_inference=batch_norm_inference,
    )


def _penalty_gradient(w, **factors):
    return gradients(lambda w: ops.l1_l2_penalty(w, **factors), [w])[0]


def _dropout_gradient(grad, x, **options):
    return gradients(lambda x: ops.dropout(x, **options), [x], grad)[0]


def _batch_norm(x, gamma, beta, mask, **options):
    return ops.batch_norm(x, gamma, beta, mask=mask, **options)


def _batch_norm_gradient(grad, x, gamma, beta, mask, **options):
    sources = [source for source in (x, gamma, beta) if source is not None]

    def y(x, *parameters):
        scale = None if gamma is None else parameters[0]
        return ops.batch_norm(x, scale, parameters[-1], mask=mask, **options)[0]

    by_sources = gradients(y, sources, grad)
    return tuple(by_sources) if gamma is not None else (by_sources[0], None, by_sources[1])
