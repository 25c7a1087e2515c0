// Goal: the reader of a CSV of load never throws and is bounded, whatever the bytes; how they are cut
// changes nothing; and what is written is read back.
// Method: random bytes, random edits of good files, random cuts; SEED=n repeats a run.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import {
  formatLoadRow,
  LOAD_CSV_HEADER,
  type LoadCsvLine,
  LoadCsvReader,
  type LoadCsvRow
} from '../../protocols/load/csv.ts'
import { MAX_CSV_VALUE } from '../../protocols/load/limits.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 0x7fff_ffff)
console.log(`load-csv: SEED=${SEED}`)
const options = { seed: SEED, numRuns: 400 }

function read(pieces: readonly Uint8Array[], volume?: string): LoadCsvLine[] {
  const reader = new LoadCsvReader(volume === undefined ? {} : { volume })
  return [...pieces.flatMap(piece => reader.push(piece)), ...reader.end()]
}

function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const ends = [...places.map(place => place % (bytes.length + 1)), bytes.length]
  ends.sort((a, b) => a - b)
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
}

const rate = fc.double({ min: 0, max: MAX_CSV_VALUE, noNaN: true })
const name = fc.stringMatching(/^[a-z0-9]([._-]?[a-z0-9]){0,20}$/)
const row: fc.Arbitrary<LoadCsvRow> = fc
  .record({
    timeMs: fc.integer({ min: 0, max: Date.UTC(2100, 0) }),
    volume: name,
    node: fc.option(name, { nil: undefined }),
    record: fc.record({
      reads: rate,
      writes: rate,
      readBytes: rate,
      writtenBytes: rate,
      sequential: fc.double({ min: 0, max: 1, noNaN: true }),
      queue: rate,
      p50Us: rate,
      p99Us: rate
    })
  })
  .map(({ node, ...rest }) => (node === undefined ? rest : { ...rest, node }))

const places = fc.array(fc.nat(), { maxLength: 12 })

/** Files that are nearly good: rows, words and signs in any order. */
const nearly = fc
  .array(
    fc.oneof(
      row.map(formatLoadRow),
      fc.constant(LOAD_CSV_HEADER),
      fc.constantFrom('\n', '\r\n', ',', '"', '\ufeff', '\u0000', 'time', ' ', 'ü', '\u{1f41f}'),
      fc.string({ unit: 'binary', maxLength: 10 })
    ),
    { maxLength: 40 }
  )
  .map(parts => new TextEncoder().encode(`${LOAD_CSV_HEADER}\n${parts.join('')}`))

it('what is written is read back, to seven digits', () => {
  fc.assert(
    fc.property(fc.array(row, { maxLength: 20 }), rows => {
      const text = [LOAD_CSV_HEADER, ...rows.map(formatLoadRow)].join('\n')
      const found = read([new TextEncoder().encode(text)])
      expect(found.map(line => ('row' in line ? formatLoadRow(line.row) : line.refused))).toEqual(
        rows.map(formatLoadRow)
      )
      for (const [index, line] of found.entries()) {
        if (!('row' in line)) continue
        const { record, ...where } = rows[index] ?? line.row
        expect(line.row).toMatchObject(where)
        expect(Math.abs(line.row.record.reads - record.reads)).toBeLessThanOrEqual(
          record.reads * 1e-6
        )
      }
    }),
    options
  )
})

it('any bytes, cut anywhere, give the same rows and refusals, one a line, and never throw', () => {
  const bytes = fc.oneof(nearly, fc.uint8Array({ maxLength: 300 }))
  const volume = fc.option(name, { nil: undefined })
  fc.assert(
    fc.property(bytes, places, volume, (file, cuts, given) => {
      const whole = read([file], given)
      expect(read(cut(file, cuts), given)).toEqual(whole)
      const numbers = whole.map(({ line }) => line)
      expect(new Set(numbers).size).toBe(numbers.length)
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
      for (const line of whole) {
        if ('row' in line) {
          for (const value of Object.values(line.row.record)) {
            expect(value >= 0 && value <= MAX_CSV_VALUE).toBe(true)
          }
        } else expect(line.refused.length).toBeLessThan(300)
      }
    }),
    options
  )
})

it('a line without an end is refused once, when it ends', () => {
  const reader = new LoadCsvReader()
  reader.push(new TextEncoder().encode(`${LOAD_CSV_HEADER}\n`))
  const piece = new Uint8Array(1024 * 1024).fill(0x61)
  for (let i = 0; i < 16; i++) expect(reader.push(piece)).toEqual([])
  expect(reader.push(new TextEncoder().encode('\n'))).toEqual([
    { line: 2, refused: expect.stringContaining('4096') }
  ])
})
