/**
 * What a node has learned, as bytes: so that it survives a restart. Little-endian.
 *
 *    0  4  magic "SFMO"
 *    4  1  version, 1
 *    5  1  which trees are in use: 0 new, 1 present, 2 none       of the record
 *    6  1  features a row has; another number is another model
 *    7  1  cells of the network; 0: none
 *    8  2  trees; 0: none
 *   10  1  their depth
 *   11  1  0
 *   12  4  CRC32C of all other bytes
 *   16 80  record: atMs, rows, positives, held out, loss, base loss, loss of the present trees,
 *          skill, average precision, series: float64 each
 *   96  8  log odds before the first tree: float64
 *  104     per node of the trees: feature int16; then per node: threshold float64; then per node:
 *          value float64
 *          the network's weights: float64 each
 *
 * Invariants: decode(encode(models)) is models, to the last bit; any bytes give models that can be
 * asked, or nothing: every path of a tree ends in a leaf, and every number is one.
 */
import { checksum } from '../checksum.ts'
import { MAX_LSTM_CELLS, MAX_TREE_DEPTH, MAX_TREES } from './limits.ts'
import { type LstmWeights, weightCount } from './lstm.ts'
import { FEATURES } from './overload-state.ts'
import type { Models, TrainingRecord } from './training.ts'
import { nodesOf, type TreeParts, Trees } from './trees.ts'

const MAGIC = 0x4f4d4653
const VERSION = 1
const CRC_AT = 12
const RECORD_AT = 16
const BASE_AT = 96
const BODY_AT = 104
const IN_USE = ['new', 'present', 'none'] as const
const NUMBERS = [
  'atMs',
  'rows',
  'positives',
  'heldOut',
  'loss',
  'baseLoss',
  'presentLoss',
  'skill',
  'averagePrecision',
  'series'
] as const satisfies ReadonlyArray<keyof TrainingRecord>
const NODE_BYTES = 18

export function encodeModels({ trees, weights, record }: Models): Uint8Array {
  const nodes = trees?.values.length ?? 0
  const bytes = new Uint8Array(BODY_AT + nodes * NODE_BYTES + 8 * (weights?.values.length ?? 0))
  const view = new DataView(bytes.buffer)
  view.setUint32(0, MAGIC, true)
  view.setUint8(4, VERSION)
  view.setUint8(5, IN_USE.indexOf(record.trees))
  view.setUint8(6, FEATURES.length)
  view.setUint8(7, weights?.cells ?? 0)
  view.setUint16(8, trees?.count ?? 0, true)
  view.setUint8(10, trees?.depth ?? 0)
  NUMBERS.forEach((name, i) => {
    view.setFloat64(RECORD_AT + 8 * i, record[name], true)
  })
  view.setFloat64(BASE_AT, trees?.base ?? 0, true)
  trees?.features.forEach((feature, node) => {
    view.setInt16(BODY_AT + 2 * node, feature, true)
  })
  putFloats(view, BODY_AT + 2 * nodes, trees?.thresholds)
  putFloats(view, BODY_AT + 10 * nodes, trees?.values)
  putFloats(view, BODY_AT + NODE_BYTES * nodes, weights?.values)
  view.setUint32(CRC_AT, crcOf(bytes), true)
  return bytes
}

/** Undefined for bytes that are no models of this version, or damaged. */
export function decodeModels(bytes: Uint8Array): Models | undefined {
  if (bytes.length < BODY_AT) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const inUse = IN_USE[view.getUint8(5)]
  const cells = view.getUint8(7)
  const count = view.getUint16(8, true)
  const depth = view.getUint8(10)
  const isOurs =
    view.getUint32(0, true) === MAGIC &&
    view.getUint8(4) === VERSION &&
    view.getUint8(6) === FEATURES.length &&
    view.getUint8(11) === 0
  if (!isOurs || inUse === undefined) return undefined
  if (cells > MAX_LSTM_CELLS || count > MAX_TREES || !isDepth(depth, count)) return undefined
  const nodes = count === 0 ? 0 : count * nodesOf(depth)
  const length = BODY_AT + nodes * NODE_BYTES + (cells === 0 ? 0 : 8 * weightCount(cells))
  if (bytes.length !== length || view.getUint32(CRC_AT, true) !== crcOf(bytes)) return undefined
  const record = readRecord(view, inUse)
  const trees = count === 0 ? undefined : readTrees(view, count, depth)
  const weights = cells === 0 ? undefined : readWeights(view, BODY_AT + NODE_BYTES * nodes, cells)
  const isWhole = (count === 0 || trees !== undefined) && (cells === 0 || weights !== undefined)
  return record === undefined || !isWhole ? undefined : { trees, weights, record }
}

function isDepth(depth: number, count: number): boolean {
  return count === 0 ? depth === 0 : depth >= 1 && depth <= MAX_TREE_DEPTH
}

function readRecord(view: DataView, trees: TrainingRecord['trees']): TrainingRecord | undefined {
  const values = NUMBERS.map((_, i) => view.getFloat64(RECORD_AT + 8 * i, true))
  if (!values.every(Number.isFinite)) return undefined
  const [atMs = 0, rows = 0, positives = 0, heldOut = 0, loss = 0] = values
  const [baseLoss = 0, presentLoss = 0, skill = 0, averagePrecision = 0, series = 0] =
    values.slice(5)
  const counts = { atMs, rows, positives, heldOut, series }
  return { ...counts, loss, baseLoss, presentLoss, skill, averagePrecision, trees }
}

function readTrees(view: DataView, count: number, depth: number): TreeParts | undefined {
  const base = view.getFloat64(BASE_AT, true)
  const trees = new Trees(count, depth, base)
  const nodes = trees.features.length
  for (let node = 0; node < nodes; node++) {
    trees.features[node] = view.getInt16(BODY_AT + 2 * node, true)
  }
  takeFloats(view, BODY_AT + 2 * nodes, trees.thresholds)
  takeFloats(view, BODY_AT + 10 * nodes, trees.values)
  const size = nodesOf(depth)
  const firstLeaf = nodesOf(depth - 1)
  const isSound =
    Number.isFinite(base) &&
    trees.values.every(Number.isFinite) &&
    trees.thresholds.every(threshold => !Number.isNaN(threshold)) &&
    trees.features.every((feature, at) =>
      at % size >= firstLeaf ? feature === -1 : feature >= -1 && feature < FEATURES.length
    )
  return isSound ? trees : undefined
}

function readWeights(view: DataView, at: number, cells: number): LstmWeights | undefined {
  const values = new Float64Array(weightCount(cells))
  takeFloats(view, at, values)
  return values.every(Number.isFinite) ? { cells, values } : undefined
}

function putFloats(view: DataView, at: number, values: Float64Array | undefined): void {
  values?.forEach((value, i) => {
    view.setFloat64(at + 8 * i, value, true)
  })
}

function takeFloats(view: DataView, at: number, into: Float64Array): void {
  for (let i = 0; i < into.length; i++) into[i] = view.getFloat64(at + 8 * i, true)
}

/** Over all bytes but those of the checksum itself. */
function crcOf(bytes: Uint8Array): number {
  const copy = Uint8Array.from(bytes)
  copy.fill(0, CRC_AT, CRC_AT + 4)
  return checksum(copy)
}
