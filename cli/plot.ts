/**
 * A load and its forecast as a picture of characters. Pure: numbers and options in, lines out.
 *
 *   2k┤╌╌╌╌╌╌╌╌╌╌╌╌╌╌│╌╌╌╌╌   past: a line of dots         now: the rule
 *     │              │  ░░░   threshold: dashes            expected (q50): a line of dots
 *   1k┤⠤⠤⠔⠒⠒⠢⠤⠤⠤⠔⠒⠒⠊⠉│▒▒▒▒▒   q50 to q90: dark shade       q90 to q95: light shade
 *     └──────┬───────┴─────
 *          12:00    now
 *
 * A column is the mean of the time that it stands for. Past and future are on one scale of time
 * unless one of them would vanish on it.
 *
 * Invariants: any finite numbers and gaps give a picture of exactly `width` columns and `height`
 * lines, and never throw; where there is a number its column shows something. What is above the
 * picture is drawn in its first line.
 */
import { PLOT_LEAST_PART } from './limits.ts'
import { Canvas, dotsOf, type Grid } from './plot-canvas.ts'
import { type Marks, marksOf } from './plot-marks.ts'
import { resampled, type Scale, scaleOf, tame } from './plot-scale.ts'
import { timeTicks } from './plot-times.ts'

export interface Plot {
  readonly width: number
  readonly height: number
  readonly ascii: boolean
  readonly nowMs: number
  /** The last one ends now; null where nothing was measured. */
  readonly history: { readonly stepMs: number; readonly values: ReadonlyArray<number | null> }
  /** The first ones are of the step that begins now. Lists may have any lengths. */
  readonly ahead: {
    readonly stepMs: number
    readonly q50: readonly number[]
    readonly q90: readonly number[]
    readonly q95: readonly number[]
  }
  readonly threshold?: number
  /** Minutes that local time is ahead of UTC. */
  readonly offsetMinutes: (timeMs: number) => number
  /** A number of the y axis, in a few characters. */
  readonly label: (value: number) => string
}

/** A smaller picture is drawn at this size and cut. */
const LEAST_WIDTH = 24
const LEAST_HEIGHT = 4
/** The rule below, and its labels. */
const AXIS_ROWS = 2
const MAX_LABEL_CHARS = 8

/** What lies where, in columns of the canvas. */
interface Layout {
  readonly marks: Marks
  readonly scale: Scale
  readonly rows: number
  readonly pastColumns: number
  readonly aheadColumns: number
  readonly labels: ReadonlyMap<number, string>
  readonly labelChars: number
}

export function plot(picture: Plot): string[] {
  const width = Math.max(LEAST_WIDTH, picture.width)
  const height = Math.max(LEAST_HEIGHT, picture.height)
  const layout = layOut(picture, width, height - AXIS_ROWS)
  const { pastColumns, aheadColumns, rows, marks } = layout
  const canvas = new Canvas(pastColumns + 1 + aheadColumns, rows, picture.ascii)
  drawBand(canvas, picture, layout)
  drawThreshold(canvas, picture, layout)
  for (let row = 0; row < rows; row++) canvas.put(pastColumns, row, marks.now)
  drawPast(canvas, picture, layout)
  drawExpected(canvas, picture, layout)
  const lines = [...withAxis(canvas, layout), ...timeAxis(picture, layout, width)]
  return lines.slice(0, picture.height).map(line => line.slice(0, picture.width))
}

/** True if the threshold is so far above everything else that the picture does not reach it. */
export function isAbove(picture: Plot): boolean {
  const { threshold } = picture
  if (threshold === undefined) return false
  return tame(threshold) > scaleFor(picture, picture.height - AXIS_ROWS).high
}

// -- layout

function layOut(picture: Plot, width: number, rows: number): Layout {
  const scale = scaleFor(picture, rows)
  const grid = { rows, dotsUp: dotsOf(picture.ascii).up }
  const labels = new Map<number, string>()
  for (const tick of scale.ticks) {
    const row = rowOf(tick, scale, grid)
    if (!labels.has(row)) labels.set(row, picture.label(tick).slice(0, MAX_LABEL_CHARS))
  }
  const labelChars = Math.max(...[...labels.values()].map(label => label.length))
  const columns = width - labelChars - 2
  const pastColumns = Math.round(columns * pastPart(picture))
  const aheadColumns = columns - pastColumns
  const marks = marksOf(picture.ascii)
  return { marks, scale, rows, labels, labelChars, pastColumns, aheadColumns }
}

function scaleFor({ history, ahead, threshold }: Plot, rows: number): Scale {
  const values = [...history.values, ...ahead.q50].map(value => tame(value ?? 0))
  const tops = [...ahead.q90, ...ahead.q95].map(tame)
  return scaleOf(values, tops, {
    threshold: threshold === undefined ? undefined : tame(threshold),
    rows
  })
}

function pastPart({ history, ahead }: Plot): number {
  const past = history.values.length * Math.max(1, tame(history.stepMs))
  const future = aheadSteps(ahead) * Math.max(1, tame(ahead.stepMs))
  if (future === 0) return 1
  if (past === 0) return 0
  return Math.max(PLOT_LEAST_PART, Math.min(1 - PLOT_LEAST_PART, past / (past + future)))
}

function aheadSteps({ q50, q90, q95 }: Plot['ahead']): number {
  return Math.max(q50.length, q90.length, q95.length)
}

/** As many as there are steps ahead, so that lists of different lengths stay in step. */
function spread(ahead: Plot['ahead'], list: readonly number[], count: number) {
  const steps = aheadSteps(ahead)
  return resampled(
    Array.from({ length: steps }, (_, step) => list[step] ?? null),
    count
  )
}

/** From 0 at the bottom to `count` - 1 at the top. */
function placeOf(value: number, { low, high }: Scale, count: number): number {
  const part = (value - low) / (high - low)
  return Math.max(0, Math.min(count - 1, Math.round(part * (count - 1))))
}

/** The row in which the line would be at this value. */
function rowOf(value: number, scale: Scale, { rows, dotsUp }: Grid): number {
  return Math.floor(placeOf(value, scale, rows * dotsUp) / dotsUp)
}

// -- what is drawn

function drawBand(canvas: Canvas, { ahead }: Plot, layout: Layout): void {
  const { aheadColumns, pastColumns, marks, scale } = layout
  const [q50, q90, q95] = [ahead.q50, ahead.q90, ahead.q95].map(list =>
    spread(ahead, list, aheadColumns).map(mean =>
      mean === null ? null : rowOf(mean, scale, canvas)
    )
  )
  for (let column = 0; column < aheadColumns; column++) {
    const low = q50?.[column] ?? undefined
    const middle = q90?.[column] ?? low
    const top = q95?.[column] ?? middle
    const first = low ?? middle ?? top
    if (first === undefined || top === undefined) continue
    for (let row = first; row <= Math.max(top, middle ?? top); row++) {
      const isDark = middle !== undefined && row <= middle
      canvas.put(pastColumns + 1 + column, row, isDark ? marks.dark : marks.light)
    }
  }
}

function drawThreshold(canvas: Canvas, { threshold }: Plot, layout: Layout): void {
  if (threshold === undefined || tame(threshold) > layout.scale.high) return
  const row = rowOf(tame(threshold), layout.scale, canvas)
  for (let column = 0; column < canvas.columns; column++) {
    canvas.put(column, row, layout.marks.threshold)
  }
}

function drawPast(canvas: Canvas, { history }: Plot, layout: Layout): void {
  const means = resampled(history.values, layout.pastColumns * canvas.dotsAcross)
  drawLine(canvas, means, { fromX: 0, mark: layout.marks.past, scale: layout.scale })
}

function drawExpected(canvas: Canvas, { ahead }: Plot, layout: Layout): void {
  const means = spread(ahead, ahead.q50, layout.aheadColumns * canvas.dotsAcross)
  const fromX = (layout.pastColumns + 1) * canvas.dotsAcross
  drawLine(canvas, means, { fromX, mark: layout.marks.expected, scale: layout.scale })
}

/** Steep rises are filled, so that the line holds together. */
function drawLine(
  canvas: Canvas,
  means: ReadonlyArray<number | null>,
  line: { readonly fromX: number; readonly mark: string; readonly scale: Scale }
): void {
  let before: number | undefined
  for (const [index, mean] of means.entries()) {
    if (mean === null) {
      before = undefined
      continue
    }
    const y = placeOf(mean, line.scale, canvas.rows * canvas.dotsUp)
    const from = before === undefined ? y : before + Math.sign(y - before)
    for (let at = Math.min(from, y); at <= Math.max(from, y); at++) {
      canvas.dot(line.fromX + index, at, line.mark)
    }
    before = y
  }
}

// -- axes

function withAxis(canvas: Canvas, { rows, labels, labelChars, marks }: Layout): string[] {
  return canvas.lines().map((line, index) => {
    const label = labels.get(rows - 1 - index)
    const axis = label === undefined ? marks.axis : marks.axisTick
    return `${(label ?? '').padStart(labelChars)}${axis}${line}`
  })
}

/** The rule, and the local times below it; the word `now` goes before any of them. */
function timeAxis(picture: Plot, layout: Layout, width: number): string[] {
  const { marks, labelChars, pastColumns } = layout
  const left = labelChars + 1
  const rule = [...`${' '.repeat(labelChars)}${marks.corner}`.padEnd(width, marks.rule)]
  const words = new Array<string>(width).fill(' ')
  for (const { column, label } of [
    { column: pastColumns, label: 'now' },
    ...tickPlaces(picture, layout)
  ]) {
    const at = left + column
    const from = Math.max(0, Math.min(width - label.length, at - Math.floor(label.length / 2)))
    const place = words.slice(Math.max(0, from - 1), from + label.length + 1)
    if (label === '' || place.some(character => character !== ' ')) continue
    words.splice(from, label.length, ...label)
    rule[at] = column === pastColumns ? marks.ruleNow : marks.ruleTick
  }
  return [rule.join(''), words.join('')]
}

function tickPlaces(picture: Plot, layout: Layout): Array<{ column: number; label: string }> {
  const { nowMs, history, ahead, offsetMinutes } = picture
  const { pastColumns, aheadColumns } = layout
  const pastMs = history.values.length * tame(history.stepMs)
  const aheadMs = aheadSteps(ahead) * tame(ahead.stepMs)
  const ofPast = timeTicks(nowMs - pastMs, nowMs, { columns: pastColumns, offsetMinutes })
  const ofFuture = timeTicks(nowMs, nowMs + aheadMs, { columns: aheadColumns, offsetMinutes })
  return [
    ...ofPast.map(({ timeMs, label }) => ({
      column: Math.floor(((timeMs - nowMs + pastMs) / pastMs) * pastColumns),
      label
    })),
    ...ofFuture.map(({ timeMs, label }) => ({
      column: pastColumns + 1 + Math.floor(((timeMs - nowMs) / aheadMs) * aheadColumns),
      label
    }))
  ]
}
