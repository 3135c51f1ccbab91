// The Taylor polynomials of exp in few products: degree 4 in two, 8 in three, 15 in four, 18 in five, the powers' own
// included.
// Pure; thread-safe. With powers P_k = B^k and the combinations below:
//
//   degree 2:   I + B + P_2 / 2
//   degree 4:   I + B + P_2 (I / 2 + B / 6 + P_2 / 24)
//   degree 8:   Q = P_2 (x1 B + x2 P_2);  I + B + y2 P_2 + (x3 P_2 + Q) (x4 I + x5 B + x6 P_2 + x7 Q)
//   degree 15:  Q = P_2 (e1 P_2 + e2 B);  Y = (Q + e3 P_2 + e4 B) (Q + e5 P_2) + e6 Q + e7 P_2;
//               (Y + e8 P_2 + e9 B) (Y + e10 Q + e11 B) + e12 Y + e13 Q + e14 P_2 + B + I: with a term of B^16 / 16!
//               too, times 0.546
//   degree 18:  N = L_1 L_5, Q = N + L_4;  R + kappa N + (L_3 + Q) Q,  R and each L a combination of I, B, P_2, P_3
//               and P_6 = P_3^2
//
// Sources: Bader, Blanes and Casas 2019; degree 15: Sastre, Ibanez and Defez 2019, its coefficients solved for anew
// with 60 digits. Bader's degree 18 has the identity in two factors whose product rounds as 11 times the result; it is
// multiplied out here, so that R holds I + B exactly. Every coefficient is 1 / k! within 1e-15 of itself.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_POLYNOMIAL_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_POLYNOMIAL_H_

#include <array>

namespace attend::compute {

// Of I, B, P_2, P_3 and P_6.
using Combination = std::array<double, 5>;
inline constexpr std::array<int, 5> kCombinedPowers = {0, 1, 2, 3, 6};

namespace taylor4 {
inline constexpr Combination kFactor = {1.0 / 2, 1.0 / 6, 1.0 / 24, 0, 0};
inline constexpr Combination kRest = {1, 1, 0, 0, 0};
}  // namespace taylor4

namespace taylor8 {
inline constexpr double kSqrt177 = 13.304134695650070986;
inline constexpr double kX3 = 2.0 / 3;
inline constexpr Combination kInner = {0, kX3*(1 + kSqrt177) / 88, kX3*(1 + kSqrt177) / 352, 0, 0};
inline constexpr Combination kLeft = {0, 0, kX3, 0, 0};  // + Q
inline constexpr Combination kRight = {(-271 + 29 * kSqrt177) / (315 * kX3), 11 * (-1 + kSqrt177) / (1260 * kX3),
                                       11 * (-9 + kSqrt177) / (5040 * kX3), 0, 0};
inline constexpr double kRightInner = (89 - kSqrt177) / (5040 * kX3 * kX3);  // times Q
inline constexpr Combination kRest = {1, 1, (857 - 58 * kSqrt177) / 630, 0, 0};
}  // namespace taylor8

namespace taylor15 {
inline constexpr Combination kInner = {0, 2.94553144027968298e-03, 4.01876161020103546e-04, 0, 0};  // times P_2: Q
inline constexpr Combination kLeft = {0, 4.01756844067356780e-01, -8.70906657683767597e-03, 0, 0};  // + Q
inline constexpr Combination kRight = {0, 0, 3.23076288812231208e-02, 0, 0};                        // + Q
inline constexpr Combination kRest = {0, 0, 2.33857603427129883e-02, 0, 0};
inline constexpr double kRestInner = 5.76898851302614473e+00;                                          // times Q
inline constexpr Combination kLastLeft = {0, 2.22420917249637356e+00, 2.38107037387098722e-01, 0, 0};  // + Y
inline constexpr Combination kLastRight = {0, -4.13027636592978291e-02, 0, 0, 0};                      // + Y
inline constexpr double kLastRightInner = -5.79236170707326052e+00;                                    // times Q
inline constexpr Combination kLastRest = {1, 1, 3.48466586336457409e-01, 0, 0};
inline constexpr double kLastRestInner = -6.33171245588337072e+01;  // times Q
inline constexpr double kLastRestOuter = 1.04080173523135436e+01;   // times Y
}  // namespace taylor15

namespace taylor18 {
inline constexpr Combination kL1 = {0, -1.00365581030144618291e-01, -8.02924648241156932449e-03,
                                    -8.92138498045729985177e-04, 0};
inline constexpr Combination kL3 = {0, 1.68015813878906206114e+00, 5.71779846478865511061e-02,
                                    -6.98210122488052056106e-03, 3.34975017086070470649e-05};
inline constexpr Combination kL4 = {0, -6.76404519071381882256e-02, 6.75961301770459654925e-02,
                                    2.95552570429315521194e-02, -1.39180257516060693404e-05};
inline constexpr Combination kL5 = {0, 0, -9.23364619367118555360e-02, -1.69364939002081722752e-02,
                                    -1.40086798182036094347e-05};
inline constexpr Combination kRest = {1, 1, 6.09071425048946472e-01, 1.69424154717016519e-01, -4.85762278605524159e-04};
inline constexpr double kKappa = -1.11485029717743684e+01;
}  // namespace taylor18

// The coefficients for B = x C in place of C.
inline Combination Scaled(const Combination& coefficients, double x) {
  const double square = x * x;
  const double cube = square * x;
  return {coefficients[0], coefficients[1] * x, coefficients[2] * square, coefficients[3] * cube,
          coefficients[4] * cube * cube};
}

// What the terms of the polynomial add up to with norms in place of matrices: its value rounds to a few units of this.
// norms: |B^k| for k = 1, 2, 3; the last is only used for degree 18.
double PolynomialMagnitude(int degree, const std::array<double, 3>& norms);

// How far the polynomial may be from exp because |B^k|, k = 1, 2, 3, are only known up to errors[k - 1]: through its
// terms, and through those that B^2 would have beyond them.
double PowersSensitivity(int degree, const std::array<double, 3>& norms, const std::array<double, 3>& errors);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_POLYNOMIAL_H_
