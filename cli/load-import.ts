/**
 * A CSV of load on its way into the mesh: read once to check all of it, and once more to send it.
 *
 * Invariants: nothing is sent of a file with a bad line; no more of it is in memory than a piece and
 * a line. The daemon checks what it gets again: the file may have changed in between.
 */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Transform, type TransformCallback } from 'node:stream'
import type { ImportDocument, ImportedVolume } from '../node/control/load-documents.ts'
import { messageOf, type ShoalError } from '../protocols/fault.ts'
import { type LoadCsvLine, LoadCsvReader, type LoadCsvRow } from '../protocols/load/csv.ts'
import { CsvOrder, OUT_OF_ORDER } from '../protocols/load/csv-order.ts'
import type { Client } from './client.ts'
import type { Io } from './io.ts'
import { MAX_IMPORTED_VOLUMES } from './limits.ts'
import { badOption } from './options.ts'
import { plural } from './output.ts'
import { Progress } from './progress.ts'

/** What is in the file, none of it taken yet. BAD_INPUT names the first bad line. */
export async function checkFile(file: string, volume: string | undefined): Promise<ImportDocument> {
  const path = resolve(file)
  await checkReadable(path)
  const tally = new Tally()
  const reader = new LoadCsvReader(volume === undefined ? {} : { volume })
  try {
    for await (const bytes of createReadStream(path)) tally.add(reader.push(bytes))
  } catch (error) {
    throw cannotRead(path, error)
  }
  tally.add(reader.end())
  return tally.finish(path)
}

export async function sendFile(
  io: Io,
  client: Client,
  { file, volume }: { readonly file: string; readonly volume: string | undefined }
): Promise<ImportDocument> {
  const path = resolve(file)
  const { size } = await stat(path).catch(error => {
    throw cannotRead(path, error)
  })
  const progress = new Progress(io, 'import')
  let doneBytes = 0
  const counted = new Transform({
    transform: (bytes: Buffer, _encoding, done: TransformCallback) => {
      doneBytes += bytes.length
      progress.show({ doneBytes, totalBytes: size, dataBytes: doneBytes })
      done(null, bytes)
    }
  })
  const source = createReadStream(path)
  source.once('error', error => counted.destroy(error))
  const query = volume === undefined ? '' : `?${new URLSearchParams({ volume })}`
  try {
    return await client.upload<ImportDocument>(`/v1/load/import${query}`, source.pipe(counted))
  } finally {
    source.destroy()
    progress.end()
  }
}

/** Rows and times of each volume, and bad lines: the first as it is, of the others how many. */
class Tally {
  readonly #volumes = new Map<string, ImportedVolume>()
  readonly #orders = new Map<string, CsvOrder>()
  #first: { readonly line: number; readonly refused: string } | undefined
  #bad = 0

  add(lines: readonly LoadCsvLine[]): void {
    for (const line of lines) {
      if ('refused' in line) {
        this.#first ??= line
        this.#bad++
      } else this.#count(line.row, line.line)
    }
  }

  finish(path: string): ImportDocument {
    if (this.#first !== undefined) {
      const { line, refused } = this.#first
      const more = this.#bad === 1 ? '' : ` (${plural(this.#bad, 'line is', 'lines are')} wrong)`
      throw badOption('file', `${path} line ${line}: ${refused}${more}`)
    }
    if (this.#volumes.size === 0) throw badOption('file', `${path} has no rows`)
    return { volumes: [...this.#volumes.values()] }
  }

  #count(row: LoadCsvRow, line: number): void {
    const { volume, timeMs } = row
    const seen = this.#volumes.get(volume)
    if (seen === undefined && this.#volumes.size >= MAX_IMPORTED_VOLUMES) {
      this.add([{ line, refused: `more than ${MAX_IMPORTED_VOLUMES} volumes are named` }])
      return
    }
    const order = this.#orders.get(volume) ?? new CsvOrder()
    this.#orders.set(volume, order)
    if (order.place(row) === undefined) this.add([{ line, refused: OUT_OF_ORDER }])
    this.#volumes.set(volume, {
      volume,
      rows: (seen?.rows ?? 0) + 1,
      taken: 0,
      from: Math.min(seen?.from ?? timeMs, timeMs),
      to: Math.max(seen?.to ?? timeMs, timeMs)
    })
  }
}

async function checkReadable(path: string): Promise<void> {
  const info = await stat(path).catch(error => {
    throw cannotRead(path, error)
  })
  if (info.isFile()) return
  throw badOption('file', `${path} is no regular file: it is read twice, so save it in one first`)
}

function cannotRead(path: string, cause: unknown): ShoalError {
  return badOption('file', `cannot read ${path}: ${messageOf(cause)}`)
}
