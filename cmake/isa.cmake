# SPDX-License-Identifier: Apache-2.0
# The only place that names the instruction sets' flags. The kernels are compiled once per
# entry, in a namespace of its name; entries are ordered best first, the reference last.

set(FASTREG_ISAS scalar reference)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(FASTREG_ISAS avx512 avx2 scalar reference)
  set(FASTREG_FLAGS_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mf16c
                           -mprefer-vector-width=512)
  set(FASTREG_FLAGS_avx2 -mavx2 -mf16c)
endif()

# Bits must not depend on the instruction set: no contraction into FMA, and never -ffast-math.
set(FASTREG_FLOAT_FLAGS -ffp-contract=off -fno-math-errno -fno-trapping-math)

# GCC 12 warns of its own intrinsics, which leave a register undefined on purpose (GCC bug 105593).
set(FASTREG_INTRINSICS_WARNINGS
    $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized> $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)

# Adds one kernel source per family and instruction set to `target`.
function(fastreg_add_kernels target)
  set(entries "")
  foreach(isa IN LISTS FASTREG_ISAS)
    set(folder kernels)
    if(isa STREQUAL "reference")
      set(folder reference)
    endif()
    list(TRANSFORM ARGN REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/cpp/${folder}/\\1.cc" OUTPUT_VARIABLE
                                                                                    sources)
    add_library(fastreg_kernels_${isa} OBJECT ${sources})
    target_compile_options(
      fastreg_kernels_${isa} PRIVATE $<$<NOT:$<CONFIG:Debug>>:-O3> ${FASTREG_FLAGS_${isa}}
                                     ${FASTREG_INTRINSICS_WARNINGS})
    # Without the flags: the table is asked for its name before an instruction set is chosen.
    add_library(fastreg_table_${isa} OBJECT ${PROJECT_SOURCE_DIR}/cpp/kernels/table.cc)
    foreach(part IN ITEMS kernels table)
      target_compile_definitions(fastreg_${part}_${isa} PRIVATE FASTREG_KERNEL_ISA=${isa})
      target_link_libraries(fastreg_${part}_${isa} PRIVATE fastreg_settings)
      target_sources(${target} PRIVATE $<TARGET_OBJECTS:fastreg_${part}_${isa}>)
    endforeach()
    string(APPEND entries "FASTREG_ISA(${isa})\n")
  endforeach()
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/isa_list.inc CONTENT "${entries}")
  target_include_directories(${target} PRIVATE ${PROJECT_BINARY_DIR}/generated)
endfunction()
