"""How rows walk through a forest (kernels): 64 rows a step, as the bits of one word.

Rows that lie near each other in the predictors take the same way through a tree for most of it. So rows are put in
order first (`talik.upscaling.coherence`), blocks of 64 of them go down a tree together, and a node costs one comparison
of a vector of 64 predictor values with a threshold: the rows that go left and right are the bits of two words. Several
blocks take turns, so that none waits for memory.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

BLOCK = 64
"""Rows that go down a tree as the bits of one word."""
TOGETHER = 16
"""Blocks that take turns."""
LEAF = 1023
"""What stands for the predictor of a leaf in a node's word."""
MAX_NODES = 1 << 19
"""Nodes of one tree that a word can address."""

_U = np.uint64
_ONE = np.uint64(1)
_NODE = np.uint64(MAX_NODES - 1)
_IS_CATEGORICAL = np.uint64(MAX_NODES)
_FIELD = np.uint64(1023)
_LOW32 = np.uint64(0xFFFFFFFF)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@intrinsic
def _above(_context: Any, array: Any, _at: Any, _threshold: Any) -> Any:
    """Bits of array[at:at+64] > threshold: plain LLVM vector code, so that every processor gets its own best."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        vector = ir.VectorType(ir.FloatType(), BLOCK)
        values = builder.load(builder.bitcast(builder.gep(data, [args[1]]), vector.as_pointer()))
        values.align = 4
        bits = builder.fcmp_ordered(">", values, _splat(builder, vector, args[2]))
        return builder.bitcast(bits, ir.IntType(64))

    return types.uint64(array, types.intp, types.float32), codegen


@intrinsic
def _write_where(_context: Any, array: Any, _at: Any, _mask: Any, _value: Any) -> Any:
    """array[at+i] = value for every bit i of mask (int16)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        vector = ir.VectorType(ir.IntType(16), BLOCK)
        place = builder.bitcast(builder.gep(data, [args[1]]), vector.as_pointer())
        old = builder.load(place)
        old.align = 2
        mask = builder.bitcast(args[2], ir.VectorType(ir.IntType(1), BLOCK))
        stored = builder.store(builder.select(mask, _splat(builder, vector, args[3]), old), place)
        stored.align = 2
        return context.get_dummy_value()

    return types.void(array, types.intp, types.uint64, types.int16), codegen


@intrinsic
def _as_float(_context: Any, _word: Any) -> Any:
    """The float32 with these 32 bits."""

    def codegen(_: Any, builder: Any, __: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.uint32), codegen


def _splat(builder: Any, vector: Any, value: Any) -> Any:
    empty = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(empty, value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), BLOCK), [0] * BLOCK)
    return builder.shuffle_vector(first, empty, zeros)


@numba.njit(cache=True, nogil=True)
def pack_words(offset, feature, threshold, left, categorical, set_of, words):  # type: ignore[no-untyped-def]
    """Write (N,) words of nodes: threshold or number of the level set (32 bits), is the right child a leaf, the left
    one (1 bit each), predictor (10), is it categorical (1), left child within the tree (19). Returns the depth."""
    deepest = 0
    depth = np.zeros(len(feature), np.int32)
    bits = threshold.view(np.uint32)
    for t in range(len(offset) - 1):
        for k in range(offset[t], offset[t + 1]):
            f = feature[k]
            if f < 0:
                words[k] = _U(LEAF) << _U(20)
                continue
            below = left[k]
            depth[below] = depth[below + 1] = depth[k] + 1
            deepest = max(deepest, depth[k] + 1)
            high = _U(set_of[k]) if categorical[f] >= 0 else _U(bits[k])
            words[k] = (
                (high << _U(32))
                | (_U(feature[below + 1] < 0) << _U(31))
                | (_U(feature[below] < 0) << _U(30))
                | (_U(f) << _U(20))
                | (_U(categorical[f] >= 0) << _U(19))
                | _U(below - offset[t])
            )
    return deepest


@numba.njit(cache=True, nogil=True)
def gather(x, order, blocks):  # type: ignore[no-untyped-def]
    """Rows x[order] as (blocks, p, 64); a last block that is not full repeats its last row."""
    n, p = len(order), x.shape[1]
    for b in range(len(blocks)):
        for j in range(BLOCK):
            row = order[min(b * BLOCK + j, n - 1)]
            for f in range(p):
                blocks[b, f, j] = x[row, f]


@numba.njit(cache=True, nogil=True)
def mark_levels(blocks, categorical, levels):  # type: ignore[no-untyped-def]
    """Write (blocks, categorical predictors, 64): the rows of a block that have a level, as bits."""
    levels[:] = _U(0)
    for b in range(len(blocks)):
        for f in range(blocks.shape[1]):
            c = categorical[f]
            if c >= 0:
                for j in range(BLOCK):
                    levels[b, c, np.int64(blocks[b, f, j])] |= _ONE << _U(j)


@numba.njit(nogil=True)
def _descend(  # type: ignore[no-untyped-def]
    nodes, sets, categorical, n_levels, flat, stride, levels, first, count, where, rows, leaf, ended
):
    """Take `count` blocks from `first` on down one tree with more than one node. Returns the number of leaves reached.

    where, rows : queue of items, first value of a block << 32 | node, and the rows there as bits. leaf, ended : the
    same for the leaves reached.
    """
    for i in range(_U(count)):
        where[i] = ((_U(first) + i) * stride) << _U(32)
        rows[i] = _ALL
    head, end, found = _U(0), _U(count), _U(0)
    while head < end:
        item, mask = where[head], rows[head]
        head += _ONE
        word = nodes[item & _LOW32]
        start = item >> _U(32)
        f = (word >> _U(20)) & _FIELD
        if word & _IS_CATEGORICAL:
            block = start // stride
            right = _not_in_set(sets[word >> _U(32)], levels, block, categorical[f], n_levels[f])
        else:
            right = _above(flat, np.int64(start + f * _U(BLOCK)), _as_float(np.uint32(word >> _U(32))))
        to_right = mask & right
        to_left = mask & ~right
        child = (word & _NODE) | (start << _U(32))
        # both queues are written and one is moved on: cheaper than a branch that nobody can predict
        is_leaf = (word >> _U(30)) & _ONE
        some = _U(to_left != _U(0))
        where[end], rows[end], leaf[found], ended[found] = child, to_left, child, to_left
        end += some & (is_leaf ^ _ONE)
        found += some & is_leaf
        child += _ONE
        is_leaf = (word >> _U(31)) & _ONE
        some = _U(to_right != _U(0))
        where[end], rows[end], leaf[found], ended[found] = child, to_right, child, to_right
        end += some & (is_leaf ^ _ONE)
        found += some & is_leaf
    return found


@numba.njit(nogil=True)
def _not_in_set(goes_left, levels, block, c, n):  # type: ignore[no-untyped-def]
    right = _U(0)
    for k in range(n):
        right |= levels[block, c, k] * (((goes_left >> _U(k)) & _ONE) ^ _ONE)
    return right


@numba.njit(nogil=True)
def _tell_rows(found, stride, first, leaf, ended, number):  # type: ignore[no-untyped-def]
    """number (rows,) = which of the leaves found each row ended in."""
    for i in range(found):
        at = ((leaf[i] >> _U(32)) // stride - _U(first)) * _U(BLOCK)
        _write_where(number, np.int64(at), ended[i], np.int16(i))


@numba.njit(cache=True, nogil=True)
def add_leaf_values(offset, words, sets, categorical, n_levels, value, blocks, levels, depth, out):  # type: ignore[no-untyped-def]
    """out (64 blocks) += the leaf value of every row in every tree, in the order of the trees."""
    n = TOGETHER * BLOCK * (depth + 1) + 2
    where, rows = np.empty(n, np.uint64), np.empty(n, np.uint64)
    leaf, ended = np.empty(TOGETHER * BLOCK + 2, np.uint64), np.empty(TOGETHER * BLOCK + 2, np.uint64)
    number, reached = np.empty(TOGETHER * BLOCK, np.int16), np.empty(TOGETHER * BLOCK)
    flat, stride = blocks.reshape(-1), _U(blocks.shape[1] * BLOCK)
    for t in range(len(offset) - 1):
        nodes, values = words[offset[t] : offset[t + 1]], value[offset[t] : offset[t + 1]]
        if len(nodes) == 1:
            out += values[0]
            continue
        for first in range(0, len(blocks), TOGETHER):
            count = min(TOGETHER, len(blocks) - first)
            found = _descend(
                nodes, sets, categorical, n_levels, flat, stride, levels, first, count, where, rows, leaf, ended
            )  # fmt: skip
            for i in range(found):
                reached[i] = values[leaf[i] & _LOW32]
            _tell_rows(found, stride, first, leaf, ended, number)
            start = _U(first * BLOCK)
            for i in range(_U(count * BLOCK)):
                out[start + i] += reached[np.uint16(number[i])]


@numba.njit(cache=True, nogil=True)
def write_leaves(offset, words, sets, categorical, n_levels, origin, blocks, levels, depth, out):  # type: ignore[no-untyped-def]
    """out (T, 64 blocks) = origin of the leaf of every row in every tree; no origin: the node itself."""
    n = TOGETHER * BLOCK * (depth + 1) + 2
    where, rows = np.empty(n, np.uint64), np.empty(n, np.uint64)
    leaf, ended = np.empty(TOGETHER * BLOCK + 2, np.uint64), np.empty(TOGETHER * BLOCK + 2, np.uint64)
    number = np.empty(TOGETHER * BLOCK, np.int16)
    flat, stride = blocks.reshape(-1), _U(blocks.shape[1] * BLOCK)
    for t in range(len(offset) - 1):
        nodes = words[offset[t] : offset[t + 1]]
        if len(nodes) == 1:
            out[t] = origin[offset[t]] if len(origin) else offset[t]
            continue
        for first in range(0, len(blocks), TOGETHER):
            count = min(TOGETHER, len(blocks) - first)
            found = _descend(
                nodes, sets, categorical, n_levels, flat, stride, levels, first, count, where, rows, leaf, ended
            )  # fmt: skip
            _tell_rows(found, stride, first, leaf, ended, number)
            for i in range(count * BLOCK):
                node = offset[t] + np.int64(leaf[np.uint16(number[i])] & _LOW32)
                out[t, first * BLOCK + i] = origin[node] if len(origin) else node


@numba.njit(cache=True, nogil=True)
def prune(offset, words, sets, categorical, low, high, present, new_offset, new_words, origin):  # type: ignore[no-untyped-def]
    """The nodes that rows inside a box can tell apart; others are passed over. Returns the number of nodes left.

    low, high : (p,) range of each continuous predictor. present : (categorical,) its levels in the box, as bits.
    origin : (nodes left,) node of the whole forest that each one was.
    """
    total = 0
    new_offset[0] = 0
    for t in range(len(offset) - 1):
        nodes = words[offset[t] : offset[t + 1]]
        first = total
        origin[total] = _settle(nodes, sets, categorical, low, high, present, _U(0))
        total += 1
        k = first
        while k < total:
            word = nodes[origin[k]]
            if (word >> _U(20)) & _FIELD != _U(LEAF):
                left = _settle(nodes, sets, categorical, low, high, present, word & _NODE)
                right = _settle(nodes, sets, categorical, low, high, present, (word & _NODE) + _ONE)
                origin[total], origin[total + 1] = left, right
                word = (word & ~(_U(0xC0000000) | _NODE)) | _U(total - first)
                word |= _U((nodes[left] >> _U(20)) & _FIELD == _U(LEAF)) << _U(30)
                word |= _U((nodes[right] >> _U(20)) & _FIELD == _U(LEAF)) << _U(31)
                total += 2
            new_words[k] = word
            k += 1
        for i in range(first, total):
            origin[i] += offset[t]
        new_offset[t + 1] = total
    return total


@numba.njit(nogil=True)
def _settle(nodes, sets, categorical, low, high, present, node):  # type: ignore[no-untyped-def]
    """The first node from `node` on down that splits the box, or the leaf."""
    while True:
        word = nodes[node]
        f = (word >> _U(20)) & _FIELD
        if f == _U(LEAF):
            return node
        c = categorical[f]
        if c < 0:
            threshold = _as_float(np.uint32(word >> _U(32)))
            right, left = low[f] > threshold, not high[f] > threshold
        else:
            goes_left = sets[word >> _U(32)]
            right, left = present[c] & goes_left == _U(0), present[c] & ~goes_left == _U(0)
        if right:
            node = (word & _NODE) + _ONE
        elif left:
            node = word & _NODE
        else:
            return node
