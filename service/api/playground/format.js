/** Numbers as people read them. */

const DIGITS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** @param {number} exponent */
export function power(exponent) {
  const digits = [...String(Math.abs(exponent))].map((digit) => DIGITS[Number(digit)]).join("");
  return `10${exponent < 0 ? "⁻" : ""}${digits}`;
}

/**
 * 0.032 as 3.2 × 10⁻²; whole powers of ten without a factor.
 * @param {number} value
 * @param {number} [digits]
 */
export function scientific(value, digits = 2) {
  if (value === 0) return "0";
  const [factor, exponent] = value.toExponential(digits - 1).split("e");
  const short = factor.replace(/\.?0+$/, "");
  return short === "1" ? power(Number(exponent)) : `${short} × ${power(Number(exponent))}`;
}

/**
 * As a query has it: 1e-2, 3.2e-2.
 * @param {number} value
 */
export const plain = (value) => value.toExponential().replace("e+", "e");

/**
 * Two or three digits, without an exponent where that is short.
 * @param {number | null | undefined} value
 */
export function short(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 1e-3 || size >= 1e5) return value < 0 ? `−${scientific(size)}` : scientific(size);
  const text = size >= 100 ? size.toFixed(0) : size.toPrecision(size >= 10 ? 3 : 2);
  return (value < 0 ? "−" : "") + (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
}

/** @param {number} value */
export const milliseconds = (value) => `${value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0)} ms`;

const compact = new Intl.NumberFormat("en", { notation: "compact" });

/**
 * For the ticks of an axis: 5K rather than 5000.
 * @param {number} value
 */
export const tick = (value) => (Math.abs(value) >= 1000 ? compact.format(value).replace("-", "−") : short(value));

/** @param {number} value */
export function percent(value) {
  if (value > 0.9999 && value < 1) return "> 99.99 %";
  if (value < 0.0001 && value > 0) return "< 0.01 %";
  return `${(100 * value).toFixed(2)} %`;
}

/** @param {number} value */
export const times = (value) => `× ${value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)}`;

/**
 * @param {number} count
 * @param {string} noun
 */
export const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
