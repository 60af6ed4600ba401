// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace fastreg {

// moving = moving * momentum + batch * (1 - momentum). Left as it was where no sample has weight.
template <typename S>
struct MovingStatistics {
  const S* mean;
  const S* variance;
  double momentum;
  S* new_mean;
  S* new_variance;
};

}  // namespace fastreg
