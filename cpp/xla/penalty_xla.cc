// SPDX-License-Identifier: Apache-2.0
#include "xla/custom_call.h"

namespace fastreg {

static const RegisterXla<run_penalty> penalty("Fastreg>L1L2Penalty");
static const RegisterXla<run_penalty_grad> penalty_grad("Fastreg>L1L2PenaltyGrad", {{0, 4}});

}  // namespace fastreg
