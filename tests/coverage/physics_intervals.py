"""Intervals of the physics applications: doublets (AUC, rejection) and showers (response, resolution)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from cases import Array, Case, holds, within
from skytrigger.hep.doublets.metrics import auc_difference, filter_metrics
from skytrigger.hep.pid.response import ONE_SIGMA_SHARES, response
from skytrigger.optimize.metric import RESOLUTION


