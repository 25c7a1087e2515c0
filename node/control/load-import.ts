/**
 * History in, as CSV: what a volume is given of an earlier life. A stream: at most
 * MAX_IMPORT_WAITING_MINUTES of all volumes are in memory.
 */
import { assert } from '../../protocols/assert.ts'
import { isFault, messageOf, ShoalError } from '../../protocols/fault.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import { LoadCsvReader, type LoadCsvRow } from '../../protocols/load/csv.ts'
import { CsvOrder, OUT_OF_ORDER } from '../../protocols/load/csv-order.ts'
import { Minutes } from '../../protocols/load/minutes.ts'
import { type LoadRecord, together } from '../../protocols/load/record.ts'
import { encodeRows, type LoadRow, MAX_ROWS } from '../../protocols/load/rows.ts'
import { MAX_IMPORT_WAITING_MINUTES } from '../limits.ts'
import { giveRows } from '../load/ask.ts'
import { askNodes, type Statuses } from '../volumes/candidates.ts'
import { resolveVolume, volumeName } from '../volumes/names.ts'
import { nodeName, nodeNames, shardNodes } from '../volumes/shards.ts'
import type { DaemonContext } from './context.ts'
import type { ImportDocument } from './load-documents.ts'
import { viewOf } from './volume-documents.ts'

/** A little less than one message holds, so that one more row never overflows it. */
const BATCH_ROWS = MAX_ROWS - 64

/** Reads CSV and gives each volume's rows to its shards, by the part of it that each holds. */
export async function importLoad(
  context: DaemonContext,
  body: AsyncIterable<Uint8Array>,
  volume: string | undefined
): Promise<ImportDocument> {
  const reader = new LoadCsvReader(volume === undefined ? {} : { volume })
  const imports = new Map<string, VolumeImport>()
  const statuses = await askNodes(context)
  const take = async (lines: ReturnType<LoadCsvReader['push']>): Promise<void> => {
    for (const line of lines) {
      if ('refused' in line) throw bad(line.line, line.refused)
      const { row } = line
      let into = imports.get(row.volume)
      if (into === undefined) {
        const id = resolveVolume(context.map, row.volume)
        const parts = await partsOf(context, statuses, id)
        into = new VolumeImport(context, id, row.volume, parts)
        imports.set(row.volume, into)
      }
      if (!into.push(row)) throw bad(line.line, OUT_OF_ORDER)
      if (into.isFull) await into.flush()
    }
    let waiting = 0
    for (const into of imports.values()) waiting += into.waiting
    if (waiting < MAX_IMPORT_WAITING_MINUTES) return
    for (const into of imports.values()) await into.flush()
  }
  await readWhole(body, bytes => take(reader.push(bytes)))
  await take(reader.end())
  const volumes: Array<ImportDocument['volumes'][number]> = []
  for (const into of imports.values()) volumes.push(await into.end())
  return { volumes }
}

/** To its end also when it is refused: whoever still sends would not see the answer. */
async function readWhole(
  body: AsyncIterable<Uint8Array>,
  take: (bytes: Uint8Array) => Promise<void>
): Promise<void> {
  let refused: unknown
  for await (const bytes of body) {
    if (refused !== undefined) continue
    try {
      await take(bytes)
    } catch (error) {
      refused = error
    }
  }
  if (refused !== undefined) throw refused
}

class VolumeImport {
  readonly #context: DaemonContext
  readonly #id: VolumeId
  readonly #name: string
  readonly #parts: ReadonlyMap<NodeId, number>
  readonly #order = new CsvOrder()
  readonly #minutes = new Minutes()
  /** Of one time: a row of the volume, or one of each node. */
  #present: LoadRecord[] = []
  #waiting: LoadRow[] = []
  #rows = 0
  /** Minutes that the rows came to, and those of them that were taken. */
  #minutesGiven = 0
  #minutesTaken = 0
  #fromMs: number | undefined
  #toMs = 0

  constructor(
    context: DaemonContext,
    id: VolumeId,
    name: string,
    parts: ReadonlyMap<NodeId, number>
  ) {
    this.#context = context
    this.#id = id
    this.#name = name
    this.#parts = parts
  }

  get waiting(): number {
    return this.#waiting.length
  }

  get isFull(): boolean {
    return this.#waiting.length >= BATCH_ROWS
  }

  /** False: it is out of order. */
  push(row: LoadCsvRow): boolean {
    const place = this.#order.place(row)
    if (place === undefined) return false
    if (place === 'later') {
      this.#settle()
      this.#toMs = row.timeMs
      this.#fromMs ??= row.timeMs
    }
    this.#present.push(row.record)
    this.#rows++
    return true
  }

  /** `taken`: a row that holds for several minutes counts by the part of them that found a gap. */
  async end(): Promise<ImportDocument['volumes'][number]> {
    this.#settle()
    this.#waiting.push(...this.#minutes.end())
    await this.flush()
    const part = this.#minutesGiven === 0 ? 0 : this.#minutesTaken / this.#minutesGiven
    // A row that was taken in part counts in part; none is lost in rounding.
    const taken = part === 1 ? this.#rows : Math.floor(this.#rows * part)
    return {
      volume: this.#name,
      rows: this.#rows,
      taken,
      from: this.#fromMs ?? 0,
      to: this.#toMs,
      ...(taken === this.#rows ? {} : { why: 'known already, or of no time that is kept' })
    }
  }

  #settle(): void {
    if (this.#present.length === 0) return
    const minutes = this.#minutes.push(this.#toMs, together(this.#present))
    assert(minutes !== undefined, 'rows that are in order are taken')
    this.#waiting.push(...minutes)
    this.#present = []
  }

  async flush(): Promise<void> {
    const batches = cut(this.#waiting)
    this.#waiting = []
    for (const batch of batches) {
      const taken = await Promise.all(
        [...this.#parts].map(([node, part]) => {
          const rows = batch.map(({ slot, record }) => ({ slot, record: scaled(record, part) }))
          return this.#give(node, encodeRows(rows))
        })
      )
      this.#minutesGiven += batch.length
      this.#minutesTaken += Math.max(...taken)
    }
  }

  async #give(node: NodeId, rows: Uint8Array): Promise<number> {
    const { rpc, map } = this.#context
    try {
      return await giveRows(rpc, node, this.#id, rows)
    } catch (error) {
      if (!isFault(error)) throw error
      const name = nodeName(map.mesh(), node)
      throw new ShoalError(error.fault, `node ${name} took no history: ${messageOf(error)}`)
    }
  }
}

function cut(rows: readonly LoadRow[]): Array<readonly LoadRow[]> {
  const batches: Array<readonly LoadRow[]> = []
  for (let at = 0; at < rows.length; at += BATCH_ROWS) batches.push(rows.slice(at, at + BATCH_ROWS))
  return batches
}

/** What part of the chunks of a volume a node holds. Throws UNREACHABLE unless all of them answer. */
async function partsOf(
  context: DaemonContext,
  statuses: Statuses,
  id: VolumeId
): Promise<Map<NodeId, number>> {
  const mesh = context.map.mesh()
  const view = await viewOf(context, id)
  const silent = view === undefined ? [] : shardNodes(view).filter(node => !statuses.has(node))
  if (silent.length > 0) {
    throw new ShoalError(
      { code: 'UNREACHABLE', peer: silent[0] ?? '' },
      `${nodeNames(mesh, silent)} with a shard of ${volumeName(mesh, id)} did not answer, and ` +
        'history is given to all of its shards or to none: try again later'
    )
  }
  const chunks = [...statuses.values()].map(status => {
    const own = status.shards.filter(({ volume }) => volume === id)
    return { node: status.id, count: own.reduce((sum, shard) => sum + shard.chunks, 0) }
  })
  const all = chunks.reduce((sum, { count }) => sum + count, 0)
  if (all > 0) {
    return new Map(chunks.flatMap(({ node, count }) => (count === 0 ? [] : [[node, count / all]])))
  }
  const name = volumeName(mesh, id)
  const fault = { code: 'UNREACHABLE', peer: name } as const
  throw new ShoalError(fault, `no node that holds ${name} answers: try again when one does`)
}

function scaled(record: LoadRecord, part: number): LoadRecord {
  return {
    ...record,
    reads: record.reads * part,
    writes: record.writes * part,
    readBytes: record.readBytes * part,
    writtenBytes: record.writtenBytes * part,
    queue: record.queue * part
  }
}

function bad(line: number, why: string): ShoalError {
  return new ShoalError({ code: 'BAD_INPUT', field: 'csv' }, `line ${line}: ${why}`)
}
