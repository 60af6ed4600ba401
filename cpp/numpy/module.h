// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>

namespace fastreg {

void bind_checks(pybind11::module_& module);
void bind_penalty(pybind11::module_& module);
void bind_dropout(pybind11::module_& module);
void bind_batch_norm(pybind11::module_& module);

}  // namespace fastreg
