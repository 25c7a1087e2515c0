/**
 * History out, as CSV: what the shards of volumes keep. A stream: a batch of rows of each shard of
 * one volume is in memory at a time.
 */
import { isFault } from '../../protocols/fault.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import { formatLoadRow, LOAD_CSV_HEADER } from '../../protocols/load/csv.ts'
import type { LoadRow } from '../../protocols/load/rows.ts'
import { askRows } from '../load/ask.ts'
import { STEP_SECONDS } from '../load/keeper-messages.ts'
import type { Resolution } from '../load/series.ts'
import { volumeName } from '../volumes/names.ts'
import { nodeName, shardNodes } from '../volumes/shards.ts'
import type { DaemonContext } from './context.ts'
import { viewOf } from './volume-documents.ts'

/** Lines that leave together. */
const PIECE_LINES = 1_000

export interface ExportWish {
  readonly volume: VolumeId | undefined
  readonly step: Resolution
  readonly fromMs: number
  readonly toMs: number
}

/**
 * Lines of CSV, in pieces: volume by volume, by time, and of one time shard by shard, so that it can
 * be imported as it is. A node that does not answer ends it with its words.
 */
export async function* exportLoad(
  context: DaemonContext,
  { volume, step, fromMs, toMs }: ExportWish
): AsyncGenerator<string> {
  const mesh = context.map.mesh()
  const stepMs = STEP_SECONDS[step] * 1000
  const range = { step, from: Math.ceil(fromMs / stepMs), to: Math.ceil(toMs / stepMs) }
  yield `${LOAD_CSV_HEADER}\n`
  for (const id of volume === undefined ? mesh.volumes.keys() : [volume]) {
    const view = await viewOf(context, id)
    const nodes = view === undefined ? [] : shardNodes(view)
    const shards = nodes.map(node => {
      return { node: nodeName(mesh, node), batches: rowsAt(context, node, id, range) }
    })
    const name = volumeName(mesh, id)
    let lines: string[] = []
    for await (const { node, slot, record } of byTime(shards)) {
      lines.push(`${formatLoadRow({ timeMs: slot * stepMs, volume: name, node, record })}\n`)
      if (lines.length < PIECE_LINES) continue
      yield lines.join('')
      lines = []
    }
    if (lines.length > 0) yield lines.join('')
  }
}

interface ShardRows {
  readonly node: string
  readonly batches: AsyncIterator<readonly LoadRow[]>
}

/** A batch of each shard is in memory at a time. */
async function* byTime(shards: readonly ShardRows[]): AsyncGenerator<LoadRow & { node: string }> {
  const open: Array<{ shard: ShardRows; rows: readonly LoadRow[]; at: number }> = []
  for (const shard of shards) open.push({ shard, rows: [], at: 0 })
  for (;;) {
    let first: (typeof open)[number] | undefined
    for (const one of open) {
      while (one.at === one.rows.length) {
        const next = await one.shard.batches.next()
        if (next.done === true) break
        one.rows = next.value
        one.at = 0
      }
      const slot = one.rows[one.at]?.slot
      if (slot !== undefined && slot < (first?.rows[first.at]?.slot ?? Infinity)) first = one
    }
    const row = first?.rows[first.at]
    if (first === undefined || row === undefined) return
    first.at++
    yield { ...row, node: first.shard.node }
  }
}

async function* rowsAt(
  { rpc }: DaemonContext,
  node: NodeId,
  volume: VolumeId,
  range: Parameters<typeof askRows>[3]
): AsyncGenerator<readonly LoadRow[]> {
  try {
    yield* askRows(rpc, node, volume, range)
  } catch (error) {
    // The map named a node that holds nothing of it any more.
    if (!isFault(error, 'CONFLICT')) throw error
  }
}
