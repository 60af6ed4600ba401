// SPDX-License-Identifier: Apache-2.0
// Libraries of one build have one id: the version, and a hash of the sources and of what compiled
// them (cmake/build_id.cmake). Each carries "fastreg <library> <id>" among its bytes, which
// fastreg/files.py looks for before it opens the library.
#pragma once

namespace fastreg {

const char* build_id() noexcept;

}  // namespace fastreg
