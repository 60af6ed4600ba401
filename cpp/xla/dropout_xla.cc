// SPDX-License-Identifier: Apache-2.0
#include "xla/custom_call.h"

namespace fastreg {

static const RegisterXla<run_dropout> dropout("Fastreg>Dropout");

}  // namespace fastreg
