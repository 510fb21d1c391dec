"""Inclusive sums on the GPU: in chunks, over the chunks' totals, and the totals added where they are wanted."""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"
from __future__ import annotations

import numpy as np
from numba import cuda

from skytrigger.hep.clue.cuda_device import BLOCK, CHUNK, EACH, I32, I64


@cuda.jit
def scan_blocks(values, plan, which, totals):
    """Inclusive sums within each chunk of the first ``plan[which]`` values, and the chunks' totals."""
    shared = cuda.shared.array(BLOCK, np.int32)
    lane = cuda.threadIdx.x
    first = I64(cuda.blockIdx.x) * CHUNK + lane * EACH
    last = min(first + EACH, I64(plan[which]))
    total = I32(0)
    for i in range(first, last):
        total += values[i]
    shared[lane] = total
    cuda.syncthreads()
    step = 1
    while step < BLOCK:
        add = shared[lane - step] if lane >= step else 0
        cuda.syncthreads()
        shared[lane] += add
        cuda.syncthreads()
        step *= 2
    before = shared[lane] - total
    for i in range(first, last):
        before += values[i]
        values[i] = before
    if lane == BLOCK - 1:
        totals[cuda.blockIdx.x] = shared[lane]


@cuda.jit
def scan_totals(totals, count):
    """Inclusive sums of the chunks' totals, by one block."""
    shared = cuda.shared.array(BLOCK, np.int32)
    lane = cuda.threadIdx.x
    carry = I32(0)
    for begin in range(0, count, CHUNK):
        first = begin + lane * EACH
        last = min(first + EACH, count)
        total = I32(0)
        for i in range(first, last):
            total += totals[i]
        shared[lane] = total
        cuda.syncthreads()
        step = 1
        while step < BLOCK:
            add = shared[lane - step] if lane >= step else 0
            cuda.syncthreads()
            shared[lane] += add
            cuda.syncthreads()
            step *= 2
        before = carry + shared[lane] - total
        for i in range(first, last):
            before += totals[i]
            totals[i] = before
        carry += shared[BLOCK - 1]
        cuda.syncthreads()


@cuda.jit
def add_totals(values, plan, which, totals):
    """Add the (scanned) totals of the chunks before."""
    i = cuda.grid(1)
    if i < I64(plan[which]) and i >= CHUNK:
        values[i] += totals[i // CHUNK - 1]
