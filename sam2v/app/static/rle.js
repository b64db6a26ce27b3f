// COCO run lengths: runs of background and object in turn, down the columns, packed as text.

/** The lengths of the runs that a text holds. */
export function runsOf(counts) {
  const runs = [];
  let at = 0;
  while (at < counts.length) {
    let value = 0;
    let shift = 0;
    let more = true;
    while (more) {
      const code = counts.charCodeAt(at++) - 48;
      value |= (code & 31) << shift;
      more = (code & 32) !== 0;
      shift += 5;
      if (!more && code & 16 && shift < 32) value |= -1 << shift;
    }
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
  }
  return runs;
}

/** Text for lengths of runs. */
export function textOf(runs) {
  let text = "";
  for (let i = 0; i < runs.length; i++) {
    let value = i > 2 ? runs[i] - runs[i - 2] : runs[i];
    let more = true;
    while (more) {
      let code = value & 31;
      value >>= 5;
      more = code & 16 ? value !== -1 : value !== 0;
      if (more) code |= 32;
      text += String.fromCharCode(code + 48);
    }
  }
  return text;
}

/** Give every pixel of a mask a value in an array of rows; returns [x0, y0, x1, y1], ends excluded, or null. */
export function paintRuns(counts, width, height, plane, value) {
  const runs = runsOf(counts);
  let at = 0;
  let [x0, y0, x1, y1] = [width, height, 0, 0];
  for (let i = 0; i < runs.length; i++) {
    if (i % 2) {
      let left = runs[i];
      let column = Math.floor(at / height);
      let row = at - column * height;
      while (left > 0) {
        const end = Math.min(height, row + left);
        for (let y = row, place = row * width + column; y < end; y++, place += width) plane[place] = value;
        if (column < x0) x0 = column;
        if (column >= x1) x1 = column + 1;
        if (row < y0) y0 = row;
        if (end > y1) y1 = end;
        left -= end - row;
        row = 0;
        column += 1;
      }
    }
    at += runs[i];
  }
  return x1 > x0 ? [x0, y0, x1, y1] : null;
}

/** The text of a plane of rows whose pixels are not 0. */
export function encodePlane(plane, width, height) {
  const runs = [];
  let inside = 0;
  let length = 0;
  for (let x = 0; x < width; x++) {
    for (let y = 0, place = x; y < height; y++, place += width) {
      const now = plane[place] ? 1 : 0;
      if (now !== inside) {
        runs.push(length);
        length = 0;
        inside = now;
      }
      length += 1;
    }
  }
  runs.push(length);
  return textOf(runs);
}
