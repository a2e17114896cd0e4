// Values as colours: pictures as they are, other values on a scale whose lightness rises evenly.
//
// Convention: colours are [red, green, blue] in [0, 1]. A look is everything but the values that a frame is coloured
// from.

const DIVERGING = [[0.02, 0.19, 0.38], [0.27, 0.58, 0.76], [0.97, 0.97, 0.97], [0.96, 0.65, 0.36], [0.5, 0.23, 0.03]];
const SCALE = [[0.16, 0.1, 0.38], [0.15, 0.32, 0.58], [0.11, 0.53, 0.58], [0.35, 0.72, 0.44], [0.97, 0.89, 0.33]];

function hasColours(field) {
  return (field.kind === "image" || field.kind === "video") && field.channels <= 4;
}

// Differences have zero in the middle of their range and another scale.
function scaleOf(field, channel) {
  const isDifference = channel >= field.own && Math.floor(channel / field.own) % 2 === 0;
  return isDifference ? DIVERGING : SCALE;
}

function colourOf(values, { colours, channels, background, range, shown, scale }) {
  if (Number.isNaN(values[shown])) return background;
  if (!colours) return scaled((values[shown] - range[0]) / (range[1] - range[0]), scale);
  const grey = channels <= 2;
  const alpha = channels === 2 || channels === 4 ? clamped(values[channels - 1]) : 1;
  return background.map((behind, c) => behind + (clamped(values[grey ? 0 : c]) - behind) * alpha);
}

function clamped(value) {
  return Math.min(1, Math.max(0, value));
}

function scaled(share, scale) {
  const place = clamped(share) * (scale.length - 1);
  const k = Math.min(Math.floor(place), scale.length - 2);
  return scale[k].map((low, c) => low + (place - k) * (scale[k + 1][c] - low));
}

function cssColour(colour) {
  return `rgb(${colour.map((part) => Math.round(255 * part)).join(" ")})`;
}

// The colour of a custom property of the style sheet, which has six hexadecimal digits.
function themeColour(name) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16) / 255);
}
