// The functions between layers, each with its derivative, in float64.

function logistic(z) {
  return 1 / (1 + Math.exp(-z));
}

// By the series with positive terms only: erf z = 2 / sqrt(pi) exp(-z^2) sum of 2^n z^(2n+1) / (1 * 3 * ... * (2n+1)).
function erf(z) {
  if (Math.abs(z) > 6) return Math.sign(z);
  let term = z;
  let sum = z;
  for (let n = 1; n < 130; n++) {
    term *= (2 * z * z) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-z * z) * sum;
}

const FUNCTIONS = {
  linear: { value: (z) => z, slope: () => 1 },
  sine: { value: Math.sin, slope: Math.cos },
  cosine: { value: Math.cos, slope: (z) => -Math.sin(z) },
  relu: { value: (z) => Math.max(z, 0), slope: (z) => (z > 0 ? 1 : 0) },
  tanh: { value: Math.tanh, slope: (z) => 1 - Math.tanh(z) ** 2 },
  logistic: { value: logistic, slope: (z) => logistic(z) * (1 - logistic(z)) },
  silu: { value: (z) => z * logistic(z), slope: (z) => logistic(z) * (1 + z * (1 - logistic(z))) },
  softplus: { value: (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))), slope: logistic },
  gelu: {
    value: (z) => 0.5 * z * (1 + erf(z / Math.SQRT2)),
    slope: (z) => 0.5 * (1 + erf(z / Math.SQRT2)) + (z * Math.exp(-0.5 * z * z)) / Math.sqrt(2 * Math.PI),
  },
  smooth_relu: {
    value: (z) => (z <= -1 ? 0 : z >= 1 ? z : 0.25 * (z + 1) * (z + 1)),
    slope: (z) => (z <= -1 ? 0 : z >= 1 ? 1 : 0.5 * (z + 1)),
  },
};
