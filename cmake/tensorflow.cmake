# SPDX-License-Identifier: Apache-2.0
# Finds the TensorFlow to build against and sets FASTREG_TENSORFLOW_VERSION (empty: no such door).

set(FASTREG_TENSORFLOW_VERSION "")

if(FASTREG_WITH_TF STREQUAL "AUTO" OR FASTREG_WITH_TF)
  find_package(Python 3.10 REQUIRED COMPONENTS Interpreter)
  set(tensorflow_found FALSE)
  if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    execute_process(
      COMMAND ${Python_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/find_tensorflow.py
      OUTPUT_VARIABLE tensorflow_lines
      OUTPUT_STRIP_TRAILING_WHITESPACE
      RESULT_VARIABLE tensorflow_status)
    if(tensorflow_status EQUAL 0)
      set(tensorflow_found TRUE)
      string(REPLACE "\n" ";" tensorflow_lines "${tensorflow_lines}")
      list(GET tensorflow_lines 0 FASTREG_TENSORFLOW_VERSION)
      list(GET tensorflow_lines 1 FASTREG_TENSORFLOW_ROOT)
      message(STATUS "TensorFlow ${FASTREG_TENSORFLOW_VERSION}: ${FASTREG_TENSORFLOW_ROOT}")
    endif()
  endif()
  if(NOT tensorflow_found)
    if(FASTREG_WITH_TF STREQUAL "AUTO")
      message(STATUS "No matching TensorFlow found: building the numpy door alone")
    else()
      message(FATAL_ERROR "FASTREG_WITH_TF=${FASTREG_WITH_TF}, but no matching TensorFlow was "
                          "found. cmake/find_tensorflow.py says which one is expected.")
    endif()
  endif()
endif()

# A library of TensorFlow's door, as the package carries it: tests/wheel reads the names from here.
# Sources with TensorFlow's headers take the wheel's own flags and no instruction set beyond them.
function(fastreg_add_tensorflow_library target)
  add_library(${target} MODULE ${ARGN} ${PROJECT_SOURCE_DIR}/cpp/ops/select_isa.cc)
  target_link_libraries(
    ${target} PRIVATE fastreg_ops ${FASTREG_TENSORFLOW_ROOT}/libtensorflow_framework.so.2)
  target_include_directories(${target} SYSTEM PRIVATE ${FASTREG_TENSORFLOW_ROOT}/include)
  target_compile_definitions(${target} PRIVATE _GLIBCXX_USE_CXX11_ABI=1 EIGEN_MAX_ALIGN_BYTES=64)
  # The checks of TensorFlow's headers report their file: the folders of the build are nobody's business.
  target_compile_options(
    ${target} PRIVATE -fmacro-prefix-map=${FASTREG_TENSORFLOW_ROOT}/include/=
                      -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=)
  # `import tensorflow` has loaded its libraries before ours.
  set_target_properties(${target} PROPERTIES SKIP_BUILD_RPATH ON INSTALL_RPATH "")
  install(TARGETS ${target} LIBRARY DESTINATION fastreg)
endfunction()

# XLA is in another, larger library, which the ops alone do not need; its headers use these two.
function(fastreg_use_xla target)
  target_link_libraries(${target} PRIVATE ${FASTREG_TENSORFLOW_ROOT}/libtensorflow_cc.so.2)
  target_include_directories(
    ${target} SYSTEM PRIVATE ${FASTREG_TENSORFLOW_ROOT}/include/external/highwayhash
                             ${FASTREG_TENSORFLOW_ROOT}/include/external/farmhash_archive/src)
endfunction()
