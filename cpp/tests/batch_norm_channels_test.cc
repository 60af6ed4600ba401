// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "tests/check.h"

namespace fastreg {
namespace test {
namespace {

struct Case {
  int64_t channels, copies, parts;
  bool is_weighted, has_options;
  int64_t width() const { return channels * copies; }
};

// Values around 0 among which are those that a comparison or a clamp must not lose.
Array<double> awkward(int64_t n, int64_t offset, unsigned seed) {
  const double values[] = {0.0,
                           -0.0,
                           1e300,
                           -1e300,
                           1e-310,
                           1.0,
                           std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN()};
  Array<double> array = Array<double>::random(n, offset, seed);
  for (int64_t i = 2; i < n; i += 5) array.data()[i] = values[(i / 5) % 8];
  return array;
}

enum class Values { kNormal, kAwkward, kLarge };

Array<double> draw(Values values, int64_t n, int64_t offset, unsigned seed) {
  if (values == Values::kAwkward) return awkward(n, offset, seed);
  return Array<double>::random(n, offset, seed);
}

template <typename S>
Array<S> positive(int64_t n, int64_t offset, unsigned seed) {
  Array<S> array = Array<S>::random(n, offset, seed);
  for (int64_t i = 0; i < n; ++i) array.data()[i] = std::fabs(array.data()[i]) + S(0.1);
  return array;
}

// All that the kernels of one instruction set make of the same input.
template <typename S>
std::vector<Array<S>> outputs_of(const BatchNormChannelKernels<S>& kernels, const Case& c,
                                 int64_t offset, Values values, Array<double>& sums) {
  const int64_t n = c.channels;
  const auto given = [&](unsigned seed) { return Array<S>::random(n, offset, seed); };
  const Array<double> shift = Array<double>::random(n, offset, 1, 100.0),
                      sum = draw(values, n, offset, 2);
  const Array<double> squares = draw(values, n, offset, 3);
  const Array<double> centered = draw(values, n, offset, 4);
  const Array<double> exact_mean = Array<double>::random(n, offset, 5, 100.0);
  const Array<double> exact_variance = positive<double>(n, offset, 6);
  Array<double> weight = positive<double>(n, offset, 7);
  for (int64_t i = 0; i < n; i += 3) weight.data()[i] = 0;
  Array<S> gamma = given(8), variance = positive<S>(n, offset, 12);
  const Array<S> beta = given(9), mean = given(10), other = given(11);
  const double epsilon = values == Values::kLarge ? 1e-300 : 1e-3;
  if (values == Values::kLarge) {  // coefficients beyond the range of S
    for (int64_t i = 0; i < n; ++i) gamma.data()[i] *= std::numeric_limits<S>::max() / S(8);
    for (int64_t i = 0; i < n; i += 3) variance.data()[i] = S(0);
  }
  const SampleWeight samples = {c.is_weighted ? weight.data() : nullptr, 37.0,
                                c.is_weighted ? SampleWeight::kMaskEpsilon : 0.0};
  const auto optional = [&](const Array<S>& array) {
    return c.has_options ? array.data() : nullptr;
  };
  const Affine<S> affine = {optional(gamma), optional(beta), epsilon};

  std::vector<Array<S>> out;
  const auto next = [&](int64_t size) {
    out.push_back(Array<S>::random(size, offset, 13));
    return out.back().data();
  };
  const auto normalize_coefficients = [&]() -> NormalizeCoefficients<S*> {
    return {next(c.width()), next(c.width()), next(c.width()), next(c.width()), next(c.width())};
  };
  const auto gradient_coefficients = [&]() -> GradientCoefficients<S*> {
    return {next(c.width()), next(c.width()), next(c.width()), next(c.width()), next(c.width()),
            next(c.width()), next(c.width()), next(c.width()), next(c.width())};
  };
  const int64_t middle = n / 2;
  const ChannelRange ranges[] = {{0, middle, n, c.width()}, {middle, n, n, c.width()}};
  const MovingStatistics<S> moving = {mean.data(), variance.data(), 0.9, next(n), next(n)};
  const Statistics<S> statistics = {next(n), next(n), c.has_options ? &moving : nullptr};
  S *const grad_gamma = next(n), *const grad_beta = next(n);
  const NormalizeCoefficients<S*> by_batch = normalize_coefficients();
  const NormalizeCoefficients<S*> by_given = normalize_coefficients();
  const NormalizeCoefficients<S*> by_merged = normalize_coefficients();
  const GradientCoefficients<S*> gradient = gradient_coefficients();
  const GradientCoefficients<S*> merged = gradient_coefficients();
  S* has_factors = next(10);
  for (const ChannelRange& range : ranges) {
    kernels.add_up(range, {sums.data(), c.parts, 2});
    *has_factors++ = kernels.statistics(range, {shift.data(), sum.data(), squares.data()}, samples,
                                        affine, statistics, by_batch);
    *has_factors++ =
        kernels.normalization(range, optional(mean), variance.data(), affine, by_given);
    *has_factors++ = kernels.merged_normalization(range, exact_mean.data(), exact_variance.data(),
                                                  affine, by_merged);
    *has_factors++ =
        kernels.gradient(range,
                         {sum.data(), squares.data(), centered.data(), mean.data(), variance.data(),
                          optional(gamma), optional(beta), optional(other), epsilon},
                         samples, grad_gamma, grad_beta, gradient);
    *has_factors++ = kernels.merged_gradient(range,
                                             {sum.data(), squares.data(), exact_mean.data(),
                                              exact_variance.data(), optional(gamma), epsilon},
                                             samples, merged);
  }
  return out;
}

bool agree(double a, double b, double tolerance) {
  return a == b || (std::isnan(a) && std::isnan(b)) || is_close(a, b, tolerance);
}

template <typename S>
void test_case(const Tables& tables, const Case& c, int64_t offset, Values values,
               Failures& failures) {
  std::vector<std::vector<Array<S>>> outputs;
  std::vector<Array<double>> sums;
  const S* type = nullptr;
  for (const KernelTable* table : {tables.isa, tables.reference, tables.best}) {
    const int64_t size = std::max<int64_t>(1, c.parts) * 2 * c.width();
    sums.push_back(Array<double>::random(size, offset, 14));
    outputs.push_back(
        outputs_of<S>(table->of(type).batch_norm_channels, c, offset, values, sums.back()));
  }
  const bool is_reference = tables.isa == tables.reference;
  failures.check(all_close(sums[0], sums[1], 1e-14), "totals");
  failures.check(is_reference || same_bits(sums[0], sums[2]), "totals have the same bits");
  failures.check(sums[0].guards_are_intact(), "totals stay within their bounds");
  for (size_t i = 0; i < outputs[0].size(); ++i) {
    const Array<S>&got = outputs[0][i], &expected = outputs[1][i];
    failures.check(got.guards_are_intact(), "channels stay within their bounds");
    failures.check(is_reference || same_bits(got, outputs[2][i]), "channels have the same bits");
    bool do_agree = true;
    for (int64_t j = 0; j < got.size(); ++j) {
      do_agree &= agree(got.data()[j], expected.data()[j], 4 * kRounding<S>);
    }
    failures.check(do_agree, "channels");
  }
}

}  // namespace

void test_batch_norm_channels(const Tables& tables, Failures& failures) {
  for (int64_t channels : {0, 1, 2, 3, 5, 7, 8, 9, 15, 17, 33, 65}) {
    for (int64_t copies : {1, 2, 16}) {
      for (int64_t parts : {0, 1, 3}) {
        for (bool is_weighted : {false, true}) {
          for (bool has_options : {false, true}) {
            const Case c = {channels, copies, parts, is_weighted, has_options};
            for (Values values : {Values::kNormal, Values::kAwkward, Values::kLarge}) {
              test_case<float>(tables, c, channels % 3, values, failures);
              test_case<double>(tables, c, channels % 3, values, failures);
            }
          }
        }
      }
    }
  }
}

}  // namespace test
}  // namespace fastreg
