/**
 * One calibration from an empty scratch to nothing left of it: opens a shard there, fills it, measures
 * cell after cell.
 */
import type { NodeId } from '../../protocols/ids.ts'
import { DEFAULT_EXTENT_BYTES } from '../../protocols/limits.ts'
import type { CalibrationRecord, MeasuredCell } from '../../protocols/load/capacity.ts'
import type { Clock, Log, Random } from '../ports.ts'
import { CELLS, type CellParts, Content, fillData, measureCell, warmUp } from './measure.ts'
import type { Scratch } from './scratch.ts'
import { openScratchShard, type ScratchShard } from './scratch-shard.ts'

export interface MeasureOptions {
  readonly self: NodeId
  readonly scratch: Scratch
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly dataBytes: number
  readonly cellMs: number
  readonly signal: AbortSignal
  /** Told of each cell as it begins, from 1 on. */
  readonly onCell: (cell: number) => void
}

/** Undefined if it was called off. Leaves nothing behind. */
export async function measureAll(
  options: MeasureOptions
): Promise<Pick<CalibrationRecord, 'cells' | 'coldReads'> | undefined> {
  const { scratch, clock, dataBytes, signal, onCell } = options
  let shard: ScratchShard | undefined
  let coldReads = true
  const dropCaches = async (): Promise<boolean> => {
    const isCold = await scratch.dropCaches()
    coldReads &&= isCold
    return isCold
  }
  try {
    const disk = await scratch.open()
    const extentBytes = Math.min(DEFAULT_EXTENT_BYTES, dataBytes)
    shard = await openScratchShard({ ...options, disk, extentBytes })
    const content = new Content(options.random)
    const durationMs = options.cellMs
    const parts = { shard, clock, dataBytes, durationMs, content, signal, dropCaches }
    await fillData(parts)
    await warmUp(parts)
    const cells = await measureCells(parts, onCell)
    return cells === undefined ? undefined : { cells, coldReads }
  } finally {
    await shard?.close()
    await scratch.remove()
  }
}

async function measureCells(
  parts: CellParts,
  onCell: (cell: number) => void
): Promise<MeasuredCell[] | undefined> {
  const cells: MeasuredCell[] = []
  for (const [index, plan] of CELLS.entries()) {
    onCell(index + 1)
    const cell = parts.signal.aborted ? undefined : await measureCell(plan, parts)
    if (cell === undefined) return undefined
    cells.push(cell)
  }
  return cells
}
