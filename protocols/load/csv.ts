/**
 * Load as CSV (RFC 4180): what `shoal load export` writes and `shoal load import` reads. The command
 * and the daemon both read it with this.
 *
 *   time,volume,node,reads,writes,read_bytes,written_bytes,sequential,queue,p50_us,p99_us
 *   2026-01-02T03:04:00Z,web,eu-1,120.5,31,1974272,507904,0.25,1.2,180,2100
 *
 * A header names its columns, in any order; time, reads, writes and, unless it is given from outside,
 * volume must be there; what is missing is 0.
 *
 * Invariants: any bytes give rows or refusals, one for each line that is not blank, and never throw;
 * no more than a line is kept (MAX_CSV_LINE_CHARS); the same bytes give the same lines however they
 * were cut into pieces.
 */
import { isName } from '../ids.ts'
import { formatIsoTime, parseIsoTime } from './iso-time.ts'
import { MAX_CSV_LINE_CHARS, MAX_CSV_VALUE } from './limits.ts'
import { IDLE, type LoadRecord } from './record.ts'

export interface LoadCsvRow {
  readonly timeMs: number
  /** Name or id. */
  readonly volume: string
  /** Absent if the file does not say which shard it was. */
  readonly node?: string
  readonly record: LoadRecord
}

/** The columns that are numbers, in the order of LOAD_CSV_HEADER. */
const FIELD_OF = {
  reads: 'reads',
  writes: 'writes',
  read_bytes: 'readBytes',
  written_bytes: 'writtenBytes',
  sequential: 'sequential',
  queue: 'queue',
  p50_us: 'p50Us',
  p99_us: 'p99Us'
} as const satisfies Record<string, keyof LoadRecord>

type NumberColumn = keyof typeof FIELD_OF
type Column = 'time' | 'volume' | 'node' | NumberColumn

const NUMBER_COLUMNS = Object.keys(FIELD_OF) as NumberColumn[]
const COLUMNS: readonly Column[] = ['time', 'volume', 'node', ...NUMBER_COLUMNS]
const REQUIRED: readonly Column[] = ['time', 'volume', 'reads', 'writes']

export const LOAD_CSV_HEADER = COLUMNS.join(',')

/** One line, without its end. Rates are given to seven significant digits. */
export function formatLoadRow({ timeMs, volume, node, record }: LoadCsvRow): string {
  const numbers = NUMBER_COLUMNS.map(column => Number(record[FIELD_OF[column]].toPrecision(7)))
  return [formatIsoTime(timeMs), quoted(volume), quoted(node ?? ''), ...numbers].join(',')
}

/** A line of the file, from 1, and what it is: a row, or why it is none. */
export type LoadCsvLine =
  | { readonly line: number; readonly row: LoadCsvRow }
  | { readonly line: number; readonly refused: string }

export interface LoadCsvOptions {
  /** Every row is of this volume; a file that names several is refused then. */
  readonly volume?: string
}

/**
 * Reads a file piece by piece: `push` each, then `end`. Without a good header nothing is read: that
 * refusal is the only line.
 */
export class LoadCsvReader {
  readonly #given: string | undefined
  readonly #decoder = new TextDecoder()
  #rest = ''
  #isTooLong = false
  #line = 0
  #header: readonly Column[] | 'awaited' | 'bad' = 'awaited'
  /** The one that the file names, where only one may be. */
  #named: string | undefined

  constructor({ volume }: LoadCsvOptions = {}) {
    this.#given = volume
  }

  push(bytes: Uint8Array): LoadCsvLine[] {
    return this.#take(this.#decoder.decode(bytes, { stream: true }))
  }

  end(): LoadCsvLine[] {
    const lines = this.#take(this.#decoder.decode())
    if (this.#rest !== '' || this.#isTooLong) lines.push(...this.#take('\n'))
    if (this.#header === 'awaited') lines.push({ line: this.#line + 1, refused: NO_HEADER })
    return lines
  }

  #take(text: string): LoadCsvLine[] {
    const found: LoadCsvLine[] = []
    let from = 0
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', from)) {
      const line = this.#read(text.slice(from, at))
      if (line !== undefined) found.push(line)
      from = at + 1
    }
    this.#keep(text.slice(from))
    return found
  }

  #keep(text: string): void {
    if (this.#isTooLong || this.#rest.length + text.length > MAX_CSV_LINE_CHARS) {
      this.#isTooLong = true
      this.#rest = ''
    } else this.#rest += text
  }

  #read(end: string): LoadCsvLine | undefined {
    this.#keep(end)
    const text = this.#rest.replace(/\r$/, '')
    const isTooLong = this.#isTooLong
    this.#rest = ''
    this.#isTooLong = false
    this.#line++
    if (this.#header === 'bad' || (text.trim() === '' && !isTooLong)) return undefined
    const result = isTooLong ? TOO_LONG : this.#parse(text)
    if (typeof result === 'object') return { line: this.#line, row: result }
    if (result === undefined) return undefined
    if (this.#header === 'awaited') this.#header = 'bad'
    return { line: this.#line, refused: result }
  }

  /** A row, why it is none, or undefined for a good header. */
  #parse(text: string): LoadCsvRow | string | undefined {
    const fields = splitFields(text)
    if (fields === undefined) return 'a quote is not closed, or stands inside a field'
    if (this.#header === 'awaited') {
      const header = parseHeader(fields, this.#given !== undefined)
      if (typeof header === 'string') return header
      this.#header = header
      return undefined
    }
    if (this.#header === 'bad') return undefined
    const row = parseRow(this.#header, fields, this.#given)
    if (typeof row === 'string' || this.#given === undefined) return row
    return this.#renamed(row, this.#given)
  }

  #renamed(row: LoadCsvRow, given: string): LoadCsvRow | string {
    this.#named ??= row.volume
    if (row.volume === this.#named) return { ...row, volume: given }
    return `a second volume, ${row.volume} after ${this.#named}, where all is to be of ${given}`
  }
}

const NO_HEADER = `there is no header; it would be ${LOAD_CSV_HEADER}`
const TOO_LONG = `the line has more than ${MAX_CSV_LINE_CHARS} characters`

function parseHeader(fields: readonly string[], hasVolume: boolean): Column[] | string {
  const names = fields.map(field => field.toLowerCase())
  const columns = names.filter(isColumn)
  const unknown = names.find(name => !isColumn(name))
  const missing = REQUIRED.filter(name => !columns.includes(name)).filter(
    name => name !== 'volume' || !hasVolume
  )
  if (columns.length === 0) return `no column is known; a header is ${LOAD_CSV_HEADER}`
  if (missing.length > 0) return `the header lacks ${missing.join(' and ')}`
  if (unknown !== undefined) return `the column ${shown(unknown)} is not known: leave it out`
  if (new Set(columns).size < columns.length) return 'a column is there twice'
  return columns
}

function isColumn(name: string): name is Column {
  return COLUMNS.some(column => column === name)
}

function parseRow(
  header: readonly Column[],
  fields: readonly string[],
  given: string | undefined
): LoadCsvRow | string {
  if (fields.length !== header.length) {
    return `${fields.length} fields, where the header has ${header.length}`
  }
  const cells = new Map(header.map((column, index) => [column, fields[index] ?? '']))
  const time = cells.get('time') ?? ''
  const timeMs = parseIsoTime(time)
  if (timeMs === undefined) {
    return `time is ${shown(time)}: it must be as 2026-01-02T03:04:05Z`
  }
  const named = cells.get('volume') ?? ''
  const volume = named === '' ? (given ?? '') : named
  if (!isName(volume)) return `volume is ${shown(volume)}: that is no name of one`
  const node = cells.get('node') ?? ''
  if (node !== '' && !isName(node)) return `node is ${shown(node)}: that is no name of one`
  const record = parseRecord(cells)
  if (typeof record === 'string') return record
  return { timeMs, volume, record, ...(node === '' ? {} : { node }) }
}

const NUMBER = /^[0-9]{1,20}(\.[0-9]{1,30})?(e[+-]?[0-9]{1,3})?$/i

function parseRecord(cells: ReadonlyMap<Column, string>): LoadRecord | string {
  const record: { -readonly [field in keyof LoadRecord]: number } = { ...IDLE }
  for (const column of NUMBER_COLUMNS) {
    const cell = cells.get(column) ?? ''
    if (cell === '' && !REQUIRED.includes(column)) continue
    const value = NUMBER.test(cell) ? Number(cell) : Number.NaN
    const max = column === 'sequential' ? 1 : MAX_CSV_VALUE
    if (!(value <= max)) return `${column} is ${shown(cell)}: it must be a number from 0 to ${max}`
    record[FIELD_OF[column]] = value
  }
  return record
}

/** Fields without their quotes and the blanks around; undefined if the quotes make no sense. */
function splitFields(line: string): string[] | undefined {
  if (!line.includes('"')) return line.split(',').map(field => field.trim())
  const fields: string[] = []
  const field = /(?:\s*"((?:[^"]|"")*)"\s*|([^",]*))(,|$)/y
  for (;;) {
    const match = field.exec(line)
    if (match === null) return undefined
    fields.push((match[1]?.replaceAll('""', '"') ?? match[2] ?? '').trim())
    if (match[3] === '') return fields
  }
}

function quoted(field: string): string {
  return /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field
}

function shown(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}...` : text)
}
