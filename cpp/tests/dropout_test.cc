// SPDX-License-Identifier: Apache-2.0
#include "tests/check.h"

namespace fastreg {
namespace test {
namespace {

constexpr uint32_t kThresholdBits[] = {23, 32};

MaskStream stream_of(Rng rng, double rate) {
  const double range = std::ldexp(1.0, kThresholdBits[static_cast<int>(rng)]);
  const auto threshold = static_cast<uint32_t>(std::ceil(rate * range));
  return {{0x12345678, 0x9abcdef0}, {0x0fedcba9, 0x87654321}, threshold, rng};
}

template <typename T>
void test_length(const Tables& tables, const MaskStream& stream, int64_t n, int64_t offset,
                 Failures& failures) {
  const T* type = nullptr;
  const DropoutKernels<T>& kernel = tables.isa->of(type).dropout;
  const DropoutKernels<T>& reference = tables.reference->of(type).dropout;
  const Array<T> x = Array<T>::random(n, offset, 2);
  // Near 2^32 blocks the counter carries into its second word.
  for (int64_t first : {int64_t{0}, 3 * kMaskTile, (int64_t{1} << 34) - kMaskTile}) {
    Array<T> expected(n, 0);
    reference.drop(stream, first, x.data(), n, 1.25, expected.data(), Stores::kCached);
    for (Stores stores : stores_at(offset)) {
      Array<T> y(n, offset);
      kernel.drop(stream, first, x.data(), n, 1.25, y.data(), stores);
      failures.check(same_bits(y, expected), "dropped elements");
      failures.check(y.guards_are_intact(), "dropout stays within its bounds");
    }
  }

  std::vector<uint64_t> bits((n / kMaskTile + 2) * 2 + 1), expected_bits(bits.size());
  tables.isa->mask.bits(stream, kMaskTile, n + kMaskTile, bits.data());
  tables.reference->mask.bits(stream, kMaskTile, n + kMaskTile, expected_bits.data());
  failures.check(bits == expected_bits, "mask bits");
  for (int64_t bit : {0, 1, 63, 64, 77}) {
    for (bool repeat : {false, true}) {
      Array<T> y(n, offset), expected(n, 0);
      kernel.apply(bits.data(), bit, repeat, x.data(), n, 1.25, y.data());
      reference.apply(bits.data(), bit, repeat, x.data(), n, 1.25, expected.data());
      failures.check(same_bits(y, expected), "elements under a given mask");
      failures.check(y.guards_are_intact(), "apply stays within its bounds");
    }
  }
}

// Every value of a half type, scaled to beyond its range at both ends, converts as the reference
// does: denormals, infinities and NaN too.
template <typename T>
void test_all_values(const Tables& tables, Failures& failures) {
  const T* type = nullptr;
  constexpr int64_t kValues = 65536;
  const uint64_t keep_all = ~uint64_t{0};
  Array<T> x(kValues, 0), y(kValues, 0), expected(kValues, 0);
  for (int64_t i = 0; i < kValues; ++i) x.data()[i].bits = static_cast<uint16_t>(i);
  for (double scale : {1.0, 1.37, 3e4, 1e-4, 1e-30}) {
    tables.isa->of(type).dropout.apply(&keep_all, 0, true, x.data(), kValues, scale, y.data());
    tables.reference->of(type).dropout.apply(&keep_all, 0, true, x.data(), kValues, scale,
                                             expected.data());
    failures.check(same_bits(y, expected), "all values of a half type");
  }
}

}  // namespace

void test_dropout(const Tables& tables, Failures& failures) {
  for (Rng rng : {Rng::kKeras, Rng::kFast}) {
    for (double rate : {1e-6, 0.1, 0.5, 0.75, 0.999}) {
      for (int64_t n : lengths()) {
        test_length<float>(tables, stream_of(rng, rate), n, n % 3, failures);
        test_length<double>(tables, stream_of(rng, rate), n, n % 2, failures);
        test_length<Half>(tables, stream_of(rng, rate), n, n % 7, failures);
        test_length<BFloat16>(tables, stream_of(rng, rate), n, n % 5, failures);
      }
    }
  }
  test_all_values<Half>(tables, failures);
  test_all_values<BFloat16>(tables, failures);
}

}  // namespace test
}  // namespace fastreg
