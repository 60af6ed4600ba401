# SPDX-License-Identifier: Apache-2.0
"""The seeds that layers draw, and get again where TensorFlow runs a function a second time.

`tf.recompute_grad` (`keras.remat`) runs a function forward, and runs it again for its gradient.
The second run must drop the same elements as the first, else the gradient is that of another
function. So the seeds of a forward run are kept in their order, and the second run gets them.

No public name tells which run a layer is called in, but one of the functions nested in
`recompute_grad` is on the stack. Both runs see the same dictionary of keyword arguments, and Python
makes a new one for each call: its identity is that of the call.

A seed is kept if the recomputed function draws it itself. A `tf.function`, `tf.cond` or
`tf.while_loop` inside of it has a graph of its own, whose tensors the second run cannot read: there
each run draws, as in stock Keras.
"""

import functools
import inspect
import sys

FORWARD, AGAIN, TRACE = "forward", "again", "trace"
# Among the locals of a second run's frame: the seeds that are left for it.
LEFT = "fastreg: seeds left"
FEW = 64

_calls: dict[int, "Call"] = {}  # by the identity of the keyword arguments
_limit = FEW


class Call:
    """One call of a recomputed function: its keyword arguments, and the seeds it drew."""

    def __init__(self, keywords):
        self.keywords, self.seeds = keywords, []

    def references(self):
        return sys.getrefcount(self.keywords)


_UNUSED = Call({}).references()


def next_seed(generator):
    """The seed to draw with now: the generator's next one, or that of the forward run."""
    frame, seed, forward = inspect.currentframe(), None, []
    kinds = _kinds()
    while frame is not None:
        kind = kinds.get(id(frame.f_code))
        if kind == FORWARD:  # if within another function's second run, the seed comes from there
            forward.append(_call(frame))
        elif kind == AGAIN:
            seed = _seed_again(frame)
            break
        elif kind == TRACE:
            break
        frame = frame.f_back
    if seed is None:
        seed = generator.next()
    for call in forward:
        call.seeds.append(seed)
    return seed


def _call(frame):
    """The call whose forward run `frame` is."""
    keywords = frame.f_locals["kwargs"]
    if (call := _calls.get(id(keywords))) is None:
        _forget()
        call = _calls[id(keywords)] = Call(keywords)
    return call


def _seed_again(frame):
    """The next seed of the forward run that `frame` repeats; None if there is none."""
    variables = frame.f_locals
    if (call := _calls.get(id(variables["kwargs"]))) is None:
        return None
    return next(variables.setdefault(LEFT, iter(call.seeds)), None)


def _forget():
    """Drops the calls whose keyword arguments nobody else holds, as no gradient holds them."""
    global _limit
    if len(_calls) >= _limit:
        for key, call in list(_calls.items()):
            if call.references() <= _UNUSED:
                _calls.pop(key, None)
        _limit = max(FEW, 2 * len(_calls))


@functools.cache
def _kinds():
    """Which run, or the trace of a graph, a frame is, by the identity of its code."""
    import tensorflow as tf

    try:
        from tensorflow.python.framework.func_graph import func_graph_from_py_func as trace
    except ImportError:  # without it, a seed of another graph could not be told: all draw anew
        return {}
    kinds = {id(inspect.unwrap(trace).__code__): TRACE}
    for forward in _nested(inspect.unwrap(tf.recompute_grad).__code__):
        if "kwargs" in forward.co_varnames:
            kinds[id(forward)] = FORWARD
            pending = _nested(forward)
            while pending:
                code = pending.pop()
                pending += _nested(code)
                if "kwargs" in code.co_freevars:
                    kinds[id(code)] = AGAIN
    return kinds


def _nested(code):
    """The functions that are defined in this one."""
    return [const for const in code.co_consts if inspect.iscode(const)]
