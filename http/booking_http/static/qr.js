// QR codes (ISO/IEC 18004) of up to 106 bytes: byte mode, versions 1 to 6, error correction M, which
// survives the loss of 15 % of the symbol. Larger versions would need version information and more
// alignment patterns; a ticket does not.

// By version: codewords of error correction in each block, and the data codewords of the blocks.
const BLOCKS = [
  [10, [16]],
  [16, [28]],
  [26, [44]],
  [18, [32, 32]],
  [24, [43, 43]],
  [16, [27, 27, 27, 27]],
];
const BYTE_MODE = 0b0100;
const MODE_AND_COUNT_BITS = 12;
const PADDING = [0xec, 0x11];
const FORMAT_GENERATOR = 0x537;
const FORMAT_MASK = 0x5412;
const LEVEL_M = 0b00;
const FIELD_POLYNOMIAL = 0x11d;
const QUIET_MODULES = 4;

const MASKS = [
  (x, y) => (x + y) % 2 === 0,
  (x, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

// The symbol as rows of booleans, true for dark, without the quiet zone around it.
export function qrModules(text, mask = null) {
  const bytes = new TextEncoder().encode(text);
  const version = BLOCKS.findIndex(([, blocks]) => bytes.length <= capacity(blocks)) + 1;
  if (version === 0) throw new RangeError(`${bytes.length} bytes are too many for a QR code`);
  const symbol = new Code(version);
  symbol.drawPatterns();
  symbol.drawCodewords(codewords(bytes, version));
  const wanted = mask === null ? MASKS.keys() : [mask];
  const candidates = [...wanted].map((number) => symbol.masked(number));
  return candidates.reduce((best, one) => (penalty(one) < penalty(best) ? one : best));
}

// One path for an SVG, and the side of its viewBox, quiet zone included.
export function qrPath(text) {
  const modules = qrModules(text);
  let path = "";
  for (const [y, row] of modules.entries()) {
    for (const [x, dark] of row.entries()) {
      if (dark) path += `M${x + QUIET_MODULES},${y + QUIET_MODULES}h1v1h-1z`;
    }
  }
  return { path, side: modules.length + 2 * QUIET_MODULES };
}

function capacity(blocks) {
  const bits = 8 * blocks.reduce((sum, size) => sum + size, 0) - MODE_AND_COUNT_BITS;
  return Math.floor(bits / 8);
}

// -- codewords -------------------------------------------------------------------------------------

function codewords(bytes, version) {
  const [correction, sizes] = BLOCKS[version - 1];
  const data = dataCodewords(bytes, sizes.reduce((sum, size) => sum + size, 0));
  const blocks = [];
  for (const size of sizes) blocks.push(data.splice(0, size));
  const divisor = generator(correction);
  const checks = blocks.map((block) => remainder(block, divisor));
  return [...interleaved(blocks), ...interleaved(checks)];
}

function dataCodewords(bytes, total) {
  const nibbles = [BYTE_MODE, bytes.length >> 4, bytes.length & 15];
  for (const byte of bytes) nibbles.push(byte >> 4, byte & 15);
  if (nibbles.length < 2 * total) nibbles.push(0); // the terminator, which also fills the byte
  const data = [];
  for (let at = 0; at < nibbles.length; at += 2) data.push((nibbles[at] << 4) | nibbles[at + 1]);
  for (let odd = 0; data.length < total; odd ^= 1) data.push(PADDING[odd]);
  return data;
}

function interleaved(blocks) {
  const mixed = [];
  for (let at = 0; at < Math.max(...blocks.map((block) => block.length)); at += 1) {
    for (const block of blocks) if (at < block.length) mixed.push(block[at]);
  }
  return mixed;
}

// Reed-Solomon over GF(256).

function times(a, b) {
  let product = 0;
  for (let bit = 7; bit >= 0; bit -= 1) {
    product = (product << 1) ^ ((product >> 7) * FIELD_POLYNOMIAL);
    if ((b >> bit) & 1) product ^= a;
  }
  return product;
}

// Coefficients of (x - 1)(x - 2)(x - 4)..., highest first, the leading 1 left out.
function generator(degree) {
  const coefficients = [...Array(degree - 1).fill(0), 1];
  let root = 1;
  for (let factor = 0; factor < degree; factor += 1) {
    for (let at = 0; at < degree; at += 1) {
      coefficients[at] = times(coefficients[at], root);
      if (at + 1 < degree) coefficients[at] ^= coefficients[at + 1];
    }
    root = times(root, 2);
  }
  return coefficients;
}

function remainder(data, divisor) {
  const rest = Array(divisor.length).fill(0);
  for (const byte of data) {
    const factor = byte ^ rest.shift();
    rest.push(0);
    for (const [at, coefficient] of divisor.entries()) rest[at] ^= times(coefficient, factor);
  }
  return rest;
}

// -- the symbol ------------------------------------------------------------------------------------

class Code {
  constructor(version) {
    this.version = version;
    this.size = 17 + 4 * version;
    this.dark = this.#square();
    this.fixed = this.#square(); // modules that carry no data and are not masked
  }

  #square() {
    return Array.from({ length: this.size }, () => Array(this.size).fill(false));
  }

  #set(x, y, dark) {
    this.dark[y][x] = dark;
    this.fixed[y][x] = true;
  }

  drawPatterns() {
    const last = this.size - 1;
    for (let at = 0; at < this.size; at += 1) {
      this.#set(6, at, at % 2 === 0);
      this.#set(at, 6, at % 2 === 0);
    }
    for (const [x, y] of [[3, 3], [last - 3, 3], [3, last - 3]]) this.#rings(x, y, 4);
    if (this.version > 1) this.#rings(last - 6, last - 6, 2);
    drawFormat(this.size, 0, (x, y) => this.#set(x, y, false)); // keeps its place free
  }

  // Rings around a centre: a finder (with its light border) or an alignment pattern.
  #rings(centreX, centreY, radius) {
    for (let dy = -radius; dy <= radius; dy += 1) {
      for (let dx = -radius; dx <= radius; dx += 1) {
        const [x, y] = [centreX + dx, centreY + dy];
        if (x < 0 || y < 0 || x >= this.size || y >= this.size) continue;
        const ring = Math.max(Math.abs(dx), Math.abs(dy));
        this.#set(x, y, radius === 4 ? ring !== 2 && ring !== 4 : ring !== 1);
      }
    }
  }

  // Upwards and downwards in columns two wide, from the right; column 6 belongs to the timing.
  drawCodewords(words) {
    let bit = 0;
    for (let right = this.size - 1; right > 0; right -= 2) {
      if (right === 6) right = 5;
      for (let step = 0; step < this.size; step += 1) {
        const upwards = ((right + 1) & 2) === 0;
        const y = upwards ? this.size - 1 - step : step;
        for (const x of [right, right - 1]) {
          if (this.fixed[y][x]) continue;
          this.dark[y][x] = bit < words.length * 8 && ((words[bit >> 3] >> (7 - (bit & 7))) & 1) === 1;
          bit += 1;
        }
      }
    }
  }

  masked(number) {
    const rows = this.dark.map((row, y) =>
      row.map((dark, x) => dark !== (!this.fixed[y][x] && MASKS[number](x, y))));
    drawFormat(this.size, formatBits(number), (x, y, dark) => { rows[y][x] = dark; });
    return rows;
  }
}

function formatBits(mask) {
  const data = (LEVEL_M << 3) | mask;
  let rest = data;
  for (let step = 0; step < 10; step += 1) rest = (rest << 1) ^ ((rest >> 9) * FORMAT_GENERATOR);
  return ((data << 10) | rest) ^ FORMAT_MASK;
}

// Both copies of the format and the module that is always dark.
function drawFormat(size, bits, set) {
  const bit = (number) => ((bits >> number) & 1) === 1;
  for (let at = 0; at < 6; at += 1) set(8, at, bit(at));
  set(8, 7, bit(6));
  set(8, 8, bit(7));
  set(7, 8, bit(8));
  for (let at = 9; at < 15; at += 1) set(14 - at, 8, bit(at));
  for (let at = 0; at < 8; at += 1) set(size - 1 - at, 8, bit(at));
  for (let at = 8; at < 15; at += 1) set(8, size - 15 + at, bit(at));
  set(8, size - 8, true);
}

// -- the choice of a mask --------------------------------------------------------------------------

const FINDER_LIKE = ["10111010000", "00001011101"];

// The standard's four rules: long runs, 2x2 blocks, what looks like a finder, more dark than light.
function penalty(rows) {
  const columns = rows.map((_, x) => rows.map((row) => row[x]));
  const lines = [...rows, ...columns].map((line) => line.map(Number).join(""));
  let points = 0;
  for (const line of lines) {
    for (const [run] of line.matchAll(/0{5,}|1{5,}/g)) points += run.length - 2;
    for (const pattern of FINDER_LIKE) {
      for (let at = line.indexOf(pattern); at >= 0; at = line.indexOf(pattern, at + 1)) points += 40;
    }
  }
  let dark = 0;
  for (const [y, row] of rows.entries()) {
    for (const [x, one] of row.entries()) {
      dark += one;
      const square = x > 0 && y > 0 && one === row[x - 1] && one === rows[y - 1][x]
        && one === rows[y - 1][x - 1];
      if (square) points += 3;
    }
  }
  const percent = (100 * dark) / rows.length ** 2;
  return points + 10 * Math.floor(Math.abs(percent - 50) / 5);
}
