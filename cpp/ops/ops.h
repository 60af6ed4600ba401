// SPDX-License-Identifier: Apache-2.0
// The bodies of the ops: operands are checked and the core is called. TensorFlow and XLA run the
// same ones, so that an op gives the same bits and the same errors in both.
#pragma once

#include "fastreg/rng.h"
#include "ops/call.h"

namespace fastreg {

// What an op is told when a graph is made; each heeds what it has.
struct Attributes {
  int axis = -1;
  Rng rng = Rng::kKeras;
  bool with_gradient = false;
};

// Throws InvalidInput.
using Body = void (*)(Call& call, const Attributes& attributes);

void run_penalty(Call& call, const Attributes& attributes);
void run_penalty_grad(Call& call, const Attributes& attributes);
void run_dropout(Call& call, const Attributes& attributes);
void run_batch_norm(Call& call, const Attributes& attributes);
void run_batch_norm_moments(Call& call, const Attributes& attributes);
void run_batch_norm_inference(Call& call, const Attributes& attributes);
void run_batch_norm_grad(Call& call, const Attributes& attributes);
void run_batch_norm_grad_sums(Call& call, const Attributes& attributes);
void run_batch_norm_share(Call& call, const Attributes& attributes);
void run_batch_norm_merged(Call& call, const Attributes& attributes);
void run_batch_norm_grad_share(Call& call, const Attributes& attributes);
void run_batch_norm_merged_grad(Call& call, const Attributes& attributes);

}  // namespace fastreg
