/**
 * All series of a node, a file each in one directory. Opening it reads the head of every file and
 * nothing else; the rest is read when it is asked for.
 *
 *   <key>.series            the series of a volume's shard, or of the node
 *   <key>.series.new        a change under way; removed at the next start
 *   <key>.series.bad-N      a file whose head could not be read, kept aside
 *
 * Invariants: a file belongs to the key that its name and its head say; nothing is removed but by
 * `remove`, and nothing that has another name.
 */
import { assert } from '../../protocols/assert.ts'
import { ShoalError } from '../../protocols/fault.ts'
import {
  decodeHead,
  encodeHead,
  HEAD_BYTES,
  isSeriesKey,
  type SeriesHead
} from '../../protocols/load/series-file.ts'
import { MAX_BAD_SERIES_FILES, MAX_SERIES } from '../limits.ts'
import { Series } from './series.ts'
import type { SeriesFiles } from './series-files.ts'
import { NEW_SUFFIX } from './series-image.ts'

const SUFFIX = '.series'

export interface SeriesBookOptions {
  readonly files: SeriesFiles
  /** A file that was put aside, in words. */
  readonly onProblem: (problem: string) => void
}

export class SeriesBook {
  readonly #files: SeriesFiles
  readonly #series = new Map<string, Series>()

  constructor({ files, onProblem }: SeriesBookOptions) {
    this.#files = files
    for (const name of files.list()) {
      if (name.endsWith(SUFFIX + NEW_SUFFIX)) files.remove(name)
      if (!name.endsWith(SUFFIX)) continue
      if (files.size(name) < HEAD_BYTES) {
        // Its making was cut short: nothing was ever in it.
        files.remove(name)
        continue
      }
      const key = name.slice(0, -SUFFIX.length)
      const head = readHead(files, name, key)
      if (typeof head !== 'string') this.#series.set(key, new Series(files, name, head))
      else onProblem(`${name}: ${head}; kept as ${putAside(files, name)}, and begun anew`)
    }
  }

  /** The series of 'node' or of a volume; made if there is none. `nowMs`: wall time. */
  open(key: string, nowMs: number): Series {
    assert(isSeriesKey(key), 'the key of a series is the name of a file')
    const known = this.#series.get(key)
    if (known !== undefined) return known
    if (this.#series.size >= MAX_SERIES) {
      throw new ShoalError(
        { code: 'LIMIT', limit: 'MAX_SERIES' },
        `a node keeps the load of ${MAX_SERIES} shards at most`
      )
    }
    const head: SeriesHead = { key, created: nowMs, foreignTo: 0, marks: [] }
    this.#files.write(key + SUFFIX, encodeHead(head), 0)
    const series = new Series(this.#files, key + SUFFIX, head)
    this.#series.set(key, series)
    return series
  }

  get(key: string): Series | undefined {
    return this.#series.get(key)
  }

  /** The shard is gone, and its history with it. */
  remove(key: string): void {
    const series = this.#series.get(key)
    if (series === undefined) return
    series.close()
    this.#series.delete(key)
    this.#files.remove(key + SUFFIX)
    for (let n = 1; n <= MAX_BAD_SERIES_FILES; n++) this.#files.remove(badName(key + SUFFIX, n))
  }

  keys(): string[] {
    return [...this.#series.keys()]
  }

  /** What all series take on the medium. */
  get bytes(): number {
    let sum = 0
    for (const series of this.#series.values()) sum += series.bytes
    return sum
  }

  close(): void {
    for (const series of this.#series.values()) series.close()
    this.#series.clear()
    this.#files.close()
  }
}

function readHead(files: SeriesFiles, name: string, key: string): SeriesHead | string {
  const bytes = new Uint8Array(HEAD_BYTES)
  const head = decodeHead(bytes.subarray(0, files.read(name, bytes, 0)))
  if (typeof head === 'string' || head.key === key) return head
  return `it is the series of ${head.key}`
}

/** The first free name; if there is none, the last is replaced. */
function putAside(files: SeriesFiles, name: string): string {
  for (let n = 1; n < MAX_BAD_SERIES_FILES; n++) {
    const bad = badName(name, n)
    if (files.size(bad) > 0) continue
    files.rename(name, bad)
    return bad
  }
  const last = badName(name, MAX_BAD_SERIES_FILES)
  files.rename(name, last)
  return last
}

function badName(name: string, n: number): string {
  return `${name}.bad-${n}`
}
