/**
 * One training of a node: its trees from the rows of all its subjects, its network from their past.
 *
 *   split by time -> trees -> judged on the newest fifth -> network -> finished
 *
 * It is given plain arrays and gives plain arrays, so that a worker can do it; it advances by slices
 * of a few milliseconds, so that whoever does it can stop between any two.
 *
 * Trees are used only if, on the rows held out, their loss is below that of each subject's own rate
 * by a part, and below that of the trees in use. Trees in use that no longer beat the rates go. The
 * network competes on every subject by itself (selection.ts): it needs no judge here.
 *
 * Invariants: the same input gives the same models, to the last bit; nothing random but the seed.
 */
import {
  averagePrecision,
  baseOdds,
  logLoss,
  positivesOf,
  type Split,
  scoreSome,
  someOf,
  splitByTime
} from './held-out.ts'
import { LEAST_OUTCOMES, LEAST_ROWS } from './limits.ts'
import type { LstmWeights } from './lstm.ts'
import { LstmTrainer } from './lstm-trainer.ts'
import { round6 } from './numeric.ts'
import { Sliced } from './sliced.ts'
import type { RowParts } from './training-rows.ts'
import { TREE_OPTIONS, TreeTrainer } from './tree-trainer.ts'
import { type TreeParts, Trees } from './trees.ts'

const LEAST_SKILL = 0.01
const LSTM_CELLS = 16
const LSTM_SLICES = 1500
const SCORED_PER_SLICE = 500
/** Rows of either outcome that must be held out, or nothing can be said of trees. */
const LEAST_HELD = 5

export interface TrainingInput {
  readonly atMs: number
  readonly seed: number
  /** Steps of a day. */
  readonly day: number
  readonly rows: RowParts
  /** ln(1 + load) of some subjects. */
  readonly series: readonly Float32Array[]
  /** The trees in use. */
  readonly present: TreeParts | undefined
  /** Batches of the network, and trees: fewer in tests. */
  readonly batches?: number
  readonly trees?: number
}

/** What is told of a training. Losses are in nats a row. */
export interface TrainingRecord {
  readonly atMs: number
  readonly rows: number
  /** Rows that an overload followed. */
  readonly positives: number
  readonly heldOut: number
  /** On the rows held out; 0 where there was nothing to judge. */
  readonly loss: number
  readonly baseLoss: number
  readonly presentLoss: number
  /** Of the new trees: 1 - loss / base loss, and the area under precision by recall. */
  readonly skill: number
  readonly averagePrecision: number
  /** Which trees are used from now on. */
  readonly trees: 'new' | 'present' | 'none'
  readonly series: number
}

/** What a node has learned; plain arrays. */
export interface Models {
  readonly trees: TreeParts | undefined
  readonly weights: LstmWeights | undefined
  readonly record: TrainingRecord
}

interface Verdict {
  readonly trees: TreeParts | undefined
  readonly record: Omit<TrainingRecord, 'atMs' | 'series'>
}

export class Training extends Sliced<Models> {
  constructor(input: TrainingInput) {
    super(run(input))
  }
}

function* run(input: TrainingInput): Generator<void, Models> {
  const { atMs, series } = input
  const { trees, record } = yield* learnTrees(input)
  const weights = yield* learnNetwork(input)
  return { trees, weights, record: { atMs, ...record, series: series.length } }
}

function* learnTrees(input: TrainingInput): Generator<void, Verdict> {
  const { rows, day, seed, trees = TREE_OPTIONS.trees } = input
  const split = splitByTime(rows, day / 24)
  yield
  if (!isEnough(rows, split)) return unjudged(input)
  yield
  const trainer = new TreeTrainer(someOf(rows, split.learn), { ...TREE_OPTIONS, trees, seed })
  while (!trainer.done) {
    yield
    trainer.slice()
  }
  yield
  return yield* judge(input, trainer.trees, split)
}

function* judge(input: TrainingInput, made: Trees, split: Split): Generator<void, Verdict> {
  const { rows, present } = input
  const odds = yield* score(input, made, split.held)
  const loss = logLoss(rows, split.held, odds)
  yield
  const precision = averagePrecision(rows, split.held, odds)
  yield
  const base = baseOdds(rows, split)
  yield
  const baseLoss = logLoss(rows, split.held, base)
  yield
  const most = (1 - LEAST_SKILL) * baseLoss
  let presentLoss = 0
  if (present !== undefined) {
    presentLoss = logLoss(rows, split.held, yield* score(input, Trees.of(present), split.held))
  }
  const presentSkilled = present !== undefined && presentLoss < most
  const isNew = loss < most && (!presentSkilled || loss < presentLoss)
  const kept = presentSkilled ? 'present' : 'none'
  return {
    trees: isNew ? made : presentSkilled ? present : undefined,
    record: {
      ...counts(input),
      heldOut: split.held.length,
      loss: round6(loss),
      baseLoss: round6(baseLoss),
      presentLoss: round6(presentLoss),
      skill: round6(baseLoss > 0 ? 1 - loss / baseLoss : 0),
      averagePrecision: round6(precision),
      trees: isNew ? 'new' : kept
    }
  }
}

/** Too little to learn from or to judge with: what is in use stays. */
function unjudged(input: TrainingInput): Verdict {
  const { present } = input
  const nothing = { heldOut: 0, loss: 0, baseLoss: 0, presentLoss: 0, skill: 0 }
  const trees = present === undefined ? 'none' : 'present'
  return {
    trees: present,
    record: { ...counts(input), ...nothing, averagePrecision: 0, trees }
  }
}

function counts(input: TrainingInput): Pick<TrainingRecord, 'rows' | 'positives'> {
  const { labels } = input.rows
  return { rows: labels.length, positives: labels.reduce((sum, label) => sum + label, 0) }
}

function* score(
  input: TrainingInput,
  trees: Trees,
  chosen: Uint32Array
): Generator<void, Float64Array> {
  const odds = new Float64Array(chosen.length)
  for (let from = 0; from < chosen.length; from += SCORED_PER_SLICE) {
    const to = Math.min(chosen.length, from + SCORED_PER_SLICE)
    scoreSome(trees, input.rows, chosen, odds, from, to)
    yield
  }
  return odds
}

function* learnNetwork(input: TrainingInput): Generator<void, LstmWeights | undefined> {
  const { series, day, seed, batches = LSTM_SLICES } = input
  if (series.length === 0) return undefined
  const trainer = new LstmTrainer({ series, day, seed, cells: LSTM_CELLS, slices: batches })
  while (!trainer.done) {
    trainer.slice()
    yield
  }
  return trainer.weights
}

function isEnough(rows: RowParts, { learn, held }: Split): boolean {
  const learned = positivesOf(rows, learn)
  const judged = positivesOf(rows, held)
  return (
    rows.labels.length >= LEAST_ROWS &&
    Math.min(learned, learn.length - learned) >= LEAST_OUTCOMES / 2 &&
    Math.min(judged, held.length - judged) >= LEAST_HELD
  )
}
