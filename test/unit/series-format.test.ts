// Goal: the bytes of a series and of a piece stay what docs/format-series.md says; a change of them is
//   noticed here, and needs a new version.
// Method: bytes that the first version wrote, written again by today's code and read by it; checksums
//   beside those of the library.
import { describe, expect, it } from 'vitest'
import { checksum } from '../../protocols/checksum.ts'
import { Random } from '../../protocols/forecast/random.ts'
import { decodePiece, emptyRun, encodePiece, setInRun } from '../../protocols/load/history.ts'
import { MAX_MARKS } from '../../protocols/load/limits.ts'
import {
  decodeHead,
  encodeHead,
  HEAD_BYTES,
  HOUR_RING,
  isSeriesKey,
  MINUTE_RING,
  SERIES_BYTES
} from '../../protocols/load/series-file.ts'
import { wordChecksum } from '../../protocols/load/word-checksum.ts'
import { MemorySeriesFiles } from '../support/series-memory-files.ts'
import { FILE, HOUR, KEY, MINUTE_MS, openBook, recordOf, START } from '../support/series-rig.ts'

/** A series of four minutes, two of them with seconds, of which one was given: where, and bytes. */
const FIRST_SERIES: ReadonlyArray<readonly [number, string]> = [
  [
    0,
    [
      '53484c53010001000000804f015279426781ba01200000006162616261626162616261626162',
      '616261626162616261626162616261626162'
    ].join('')
  ],
  [128, 'fc5c4ecceb15268d'],
  [4092, 'e59d2304'],
  [
    5632,
    [
      '6781ba0100004041000000400000404700000046ffff00500070007c90e81183d420ed1b6781',
      'ba0101000000020000000000964300000040000096490000004600500070007c07ff0000c843',
      '000000400000c8490000004600500070007c3bff'
    ].join('')
  ],
  [
    7168,
    ['6f81ba010000a041000000400000a04700000046ffff00500070007c1227c197ff4e7e4f6f81', 'ba0102'].join(
      ''
    )
  ],
  [
    8704,
    [
      '7081ba0100002042000000400000204800000046ffff00500070007c23a83ee829a119fd7081',
      'ba0103000000010000000000f041000000400000f0470000004600500070007c00ff'
    ].join('')
  ],
  [662688, '6581ba81000048420000803f0000484800008045'],
  [662716, '931ea746'],
  [662752, '6781ba0100004041000000400000404700000046ffff00500070007c90e81183'],
  [
    663008,
    [
      '6f81ba010000a041000000400000a04700000046ffff00500070007c1227c1977081ba010000',
      '2042000000400000204800000046ffff00500070007c23a83ee8'
    ].join('')
  ],
  [988128, 'ff5f078000002041000000400000204700000046'],
  [988156, 'ee1104e6'],
  [988320, '056007000000f8410000c03f0000f8470000c0452337004ce466007c76b19f4c']
]
const FIRST_PIECE = [
  '53484c50010010006581ba010300000001000000ff5f07000100000001000000303031313232',
  '3333616162626363646412026a4054009a4084006100580091008800'
].join('')

function firstPiece() {
  const minutes = emptyRun(START - 3, 3)
  setInRun(minutes, 0, recordOf(100), 0.5)
  setInRun(minutes, 2, recordOf(0, { writes: 0, writtenBytes: 0 }), 1)
  const hours = emptyRun(HOUR - 7, 1)
  setInRun(hours, 0, recordOf(10), 1)
  return { id: '00112233aabbccdd', minutes, hours }
}

function firstSeries(): MemorySeriesFiles {
  const { files, book } = openBook()
  const series = book.open(KEY, 1_740_000_000_000)
  series.second((START - 1) * 60 + 7, recordOf(300))
  series.second((START - 1) * 60 + 59, recordOf(400))
  series.minute(START - 1, recordOf(12))
  series.minute(START + 7, recordOf(20))
  series.second((START + 8) * 60, recordOf(30))
  series.minute(START + 8, recordOf(40))
  series.give(firstPiece(), (START + 9) * MINUTE_MS)
  return files
}

/** Runs of bytes that are not zero, joined over fewer than eight zeroes. */
function usedBytes(files: MemorySeriesFiles): Array<[number, string]> {
  const bytes = Buffer.alloc(files.size(FILE))
  files.read(FILE, bytes, 0)
  const runs: Array<[number, string]> = []
  let start = -1
  let end = -1
  const flush = (): void => {
    if (start !== -1) runs.push([start, bytes.subarray(start, end + 1).toString('hex')])
  }
  for (const [at, byte] of bytes.entries()) {
    if (byte === 0) continue
    if (start === -1 || at - end > 8) {
      flush()
      start = at
    }
    end = at
  }
  flush()
  return runs
}

describe('the first version of a series', () => {
  it('is still what is written', () => {
    expect(usedBytes(firstSeries())).toEqual(FIRST_SERIES)
  })

  it('is still read', () => {
    const files = new MemorySeriesFiles()
    for (const [at, hex] of FIRST_SERIES) files.write(FILE, Buffer.from(hex, 'hex'), at)
    const { book, problems } = openBook(files)
    const series = book.open(KEY, 0)
    expect(problems).toEqual([])
    expect(series.created).toBe(1_740_000_000_000)
    const { slots, reads, p99Us } = series.read('minute', START - 100, START + 100)
    expect([...slots].map(slot => slot - START)).toEqual([-3, -1, 7, 8])
    expect([...reads]).toEqual([50, 12, 20, 40])
    expect([...p99Us]).toEqual([0, 1024, 1024, 1024])
    expect([...series.read('hour', HOUR - 10, HOUR + 1).slots]).toEqual([HOUR - 7, HOUR - 1, HOUR])
    const seconds = series.read('second', (START - 1) * 60, START * 60)
    expect([seconds.slots.length, seconds.reads[7], seconds.reads[59]]).toEqual([60, 300, 400])
    expect(series.give(firstPiece(), (START + 9) * MINUTE_MS)).toBe(false)
  })

  it('has its rings where the document says', () => {
    expect([HEAD_BYTES, MINUTE_RING.at, HOUR_RING.at, SERIES_BYTES]).toEqual([
      4096, 53_248, 700_416, 1_262_592
    ])
  })
})

describe('the first version of a piece', () => {
  it('is still what is sent, and read', () => {
    expect(Buffer.from(encodePiece(firstPiece())).toString('hex')).toBe(FIRST_PIECE)
    const piece = decodePiece(Buffer.from(FIRST_PIECE, 'hex'))
    expect(piece).toEqual(firstPiece())
    expect(piece?.minutes.states).toEqual(Uint8Array.of(2, 0, 1))
  })
})

describe('the head of a series', () => {
  it('is read as it was written, and refused with any byte altered', () => {
    const marks = Array.from({ length: MAX_MARKS }, (_, i) => BigInt(i) << 40n)
    const head = { key: 'a'.repeat(63), created: 12.5, foreignTo: START, marks }
    const bytes = encodeHead(head)
    expect(decodeHead(bytes)).toEqual(head)
    for (let at = 0; at < bytes.length; at += 5) {
      const copy = bytes.slice()
      copy[at] = (copy[at] ?? 0) ^ 16
      expect(typeof decodeHead(copy)).toBe('string')
    }
    const newer = bytes.slice()
    newer[4] = 2
    expect(decodeHead(newer)).toBe('its format is version 2, and 1 is known')
    expect(typeof decodeHead(bytes.subarray(1))).toBe('string')
  })

  it('names only what is safe as a file', () => {
    expect(['node', KEY, 'a-b'].every(isSeriesKey)).toBe(true)
    const bad = ['', '.', '..', 'a/b', 'A', 'a.b', '-a', 'a'.repeat(64), 'ä']
    expect(bad.some(isSeriesKey)).toBe(false)
  })
})

describe('the checksum of words', () => {
  it('is CRC32C', () => {
    const random = new Random(5)
    const words = Uint32Array.from({ length: 400 }, () => random.next())
    for (const [from, to] of [
      [0, 7],
      [8, 15],
      [9, 372],
      [3, 3]
    ] as const) {
      const bytes = new Uint8Array(words.buffer, from * 4, (to - from) * 4)
      expect(wordChecksum(words, from, to)).toBe(checksum(bytes))
    }
  })
})
