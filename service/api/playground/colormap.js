/** Colour maps: viridis for densities, a diverging one for differences. */

/** Anchors of viridis (Smith & van der Walt, CC0), evenly spaced, perceptually uniform, readable without colour vision. */
const VIRIDIS = [
  0x440154, 0x482475, 0x414487, 0x355f8d, 0x2a788e, 0x21918c, 0x22a884, 0x44bf70, 0x7ad151, 0xbddf26, 0xfde725,
];

/** @param {number} colour */
const channels = (colour) => [colour >> 16, (colour >> 8) & 255, colour & 255];

/** 256 colours, three bytes each. */
export const VIRIDIS_TABLE = Uint8ClampedArray.from({ length: 768 }, (_, index) => {
  const [entry, channel] = [Math.floor(index / 3), index % 3];
  const at = (entry / 255) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  const [a, b] = [channels(VIRIDIS[low])[channel], channels(VIRIDIS[low + 1])[channel]];
  return a + (b - a) * (at - low);
});

/** Where A has more, in A's blue, and where B has, in B's orange. Strength is opacity: both themes show through. */
export const MORE = [38, 108, 196];
export const LESS = [214, 94, 16];
