"""What a batch needs at least: operations and bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """What one batch needs at least.

    Attributes
    ----------
    operations
        Additions and multiplications (a multiply-add is two) of products, pooling and element-wise operators.
    product_operations
        Those of convolutions and matrix products alone.
    weight_bytes
        Weights, each read once a batch.
    io_bytes
        Input read and output written once.
    activation_bytes
        Results of products and pooling written and read back once, which a network fused end to end would not need.
    """

    batch_size: int
    operations: int
    product_operations: int
    weight_bytes: int
    io_bytes: int
    activation_bytes: int

    @property
    def least_bytes(self) -> int:
        """Traffic that no implementation can avoid: weights once, input and output once."""
        return self.weight_bytes + self.io_bytes

    @property
    def intensity(self) -> float:
        """Operations per unavoidable byte."""
        return self.operations / self.least_bytes
