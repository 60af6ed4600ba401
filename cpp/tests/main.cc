// SPDX-License-Identifier: Apache-2.0
// Every kernel on every instruction set of this processor against the plain double loops, and bit
// for bit against the best instruction set.
#include "tests/check.h"

namespace fastreg {
namespace test {
namespace {

const KernelTable* table_of(const std::string& isa) {
  select_isa(isa);
  return &kernels();
}

// The helpers must notice a wrong answer.
void test_the_tests(Failures& failures) {
  failures.where = "helpers";
  Array<float> a = Array<float>::random(9, 1, 1), b = Array<float>::random(9, 5, 1);
  failures.check(same_bits(a, b) && all_close(a, b, 0.0), "equal arrays are equal");
  b.data()[8] = std::nextafterf(b.data()[8], 10.0f);
  failures.check(!same_bits(a, b), "one bit differs");
  b.data()[8] += 1e-3f;
  failures.check(!all_close(a, b, 1e-6), "one element differs");
  b.data()[8] = std::nanf("");
  failures.check(!all_close(a, b, 1e6), "NaN is not close");
  failures.check(a.guards_are_intact(), "guards are intact");
  a.data()[9] = 0.0f;
  failures.check(!a.guards_are_intact(), "a guard was overwritten");
}

int run() {
  Failures failures;
  test_the_tests(failures);
  const auto isas = available_isas();
  const KernelTable* reference = table_of("reference");
  for (const std::string& isa : isas) {
    const Tables tables = {table_of(isa), table_of(isas.front()), reference};
    failures.where = isa;
    test_penalty(tables, failures);
    test_dropout(tables, failures);
    test_batch_norm(tables, failures);
    test_batch_norm_channels(tables, failures);
  }
  select_isa(isas.front());
  test_scratch(failures);
  std::printf("%d passed, %d failed\n", failures.checks - failures.failures, failures.failures);
  return failures.failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace test
}  // namespace fastreg

int main() { return fastreg::test::run(); }
