// Goal: whatever bytes a medium gives back, every decoder of the store answers a value or a
//   refusal, never an exception; and what was encoded is decoded again.
// Method: random bytes, valid encodings with random bytes changed, and round trips (fast-check).
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Kind, NO_DATA } from '../../node/storage/change.ts'
import { decodeSlot, encodeSlot } from '../../node/storage/incarnation.ts'
import {
  decodeManifest,
  decodeRoot,
  decodeTombstones,
  encodeManifest,
  encodeRoot,
  encodeTombstones,
  ROOT_VERSION
} from '../../node/storage/manifest.ts'
import {
  decodeSegmentHead,
  encodeSegmentHead,
  readRecordCrcs,
  readRecordHead,
  recordBytes,
  recordTemplate,
  SEGMENT_HEAD_BYTES,
  writeRecord
} from '../../node/storage/record.ts'
import { replayJournal } from '../../node/storage/replay.ts'
import {
  decodeSealed,
  encodeSealed,
  SEALED_HEADER_BYTES,
  SealedKind
} from '../../node/storage/sealed.ts'
import { BlockState, Table } from '../../node/storage/table.ts'
import { blockChecksums } from '../../protocols/checksum.ts'
import { chunkDigest } from '../../protocols/digest.ts'
import type { Nonce } from '../../protocols/ids.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import { ATTACH, blocksOf, chunkKey, shardRecord, VOLUME } from '../support/storage-rig.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const nonce = Buffer.from(ATTACH, 'hex')
const bytes = fc.uint8Array({ maxLength: 600 }).map(array => Buffer.from(array))

/** A segment of `count` records of one block each. */
function segmentOf(count: number, startLsn = 1): Buffer {
  const head = encodeSegmentHead({ number: 1, startLsn, provenLsn: 0, incarnation: 1, nonce })
  const size = recordBytes(Kind.write, 1)
  const segment = Buffer.concat([head, Buffer.alloc(size * count)])
  for (let i = 0; i < count; i++) {
    const data = blocksOf(i + 1, 1)
    const at = SEGMENT_HEAD_BYTES + i * size
    const lsn = startLsn + i
    const fields = { kind: Kind.write, first: i, count: 1, crcs: blockChecksums(data), lsn, nonce }
    const start = writeRecord(segment, at, recordTemplate(chunkKey(0)), {
      ...fields,
      provenLsn: lsn - 1
    })
    segment.set(data, start)
  }
  return segment
}

/** Valid encodings with some bytes changed. */
function mutated(valid: Buffer) {
  const change = fc.tuple(fc.nat(valid.length - 1), fc.nat(255))
  return fc.array(change, { minLength: 1, maxLength: 6 }).map(changes => {
    const copy = Buffer.from(valid)
    for (const [at, value] of changes) copy[at] = value
    return copy
  })
}

describe(`the decoders of the store (SEED=${SEED})`, () => {
  it('are total on random bytes', () => {
    fc.assert(
      fc.property(bytes, input => {
        for (const kind of Object.values(SealedKind)) decodeSealed(input, kind, 1)
        decodeManifest(input)
        decodeTombstones(input)
        decodeRoot(input)
        decodeSlot(input)
        Table.decode(input)
        decodeSegmentHead(input)
        const head = readRecordHead(input, 0, nonce)
        if (head !== undefined) readRecordCrcs(input, 0, head)
        replayJournal([{ number: 1, bytes: input }], 0, 0)
      }),
      { seed: SEED, numRuns: 2000 }
    )
  })

  it('are total on altered journals, and never make up a record', () => {
    const valid = segmentOf(4)
    fc.assert(
      fc.property(mutated(valid), input => {
        const { records } = replayJournal([{ number: 1, bytes: input }], 0, 0)
        for (const record of records) {
          if (record.isDamaged) continue
          expect(Buffer.from(record.data).equals(blocksOf(record.lsn, 1))).toBe(true)
        }
      }),
      { seed: SEED, numRuns: 500 }
    )
  })

  it('are total on altered manifests, roots, tombstones and tables', () => {
    const manifest = encodeManifest(shardRecord(), [{ key: chunkKey(3), allocatedBlocks: 4 }])
    const body = manifest.subarray(SEALED_HEADER_BYTES)
    const tombstones = encodeTombstones([{ volume: VOLUME, token: shardRecord().token }])
    fc.assert(
      fc.property(mutated(body), mutated(tombstones), (one, other) => {
        decodeManifest(one)
        decodeTombstones(other.subarray(SEALED_HEADER_BYTES))
      }),
      { seed: SEED, numRuns: 2000 }
    )
  })

  it('give back what was encoded', () => {
    const listed = [
      { key: chunkKey(3), allocatedBlocks: 4 },
      {
        key: { ...chunkKey(0xffff_ffff), generation: 0xffff, column: 255, replica: 2 },
        allocatedBlocks: 0
      }
    ]
    const sealed = decodeSealed(encodeManifest(shardRecord(), listed), SealedKind.manifest, 2)
    expect(sealed.is === 'found' && decodeManifest(sealed.body)).toEqual({
      record: shardRecord(),
      chunks: listed
    })
    const root = { checkpointLsn: 5, provenLsn: 2 ** 40 }
    const found = decodeSealed(encodeRoot(root), SealedKind.root, ROOT_VERSION)
    expect(found.is === 'found' && decodeRoot(found.body)).toEqual(root)
    const incarnation = { number: 77, nonce: ATTACH as Nonce }
    expect(decodeSlot(encodeSlot(incarnation))).toEqual(incarnation)
  })

  it('refuse a sealed file with any byte altered, and name an unknown version', () => {
    const valid = encodeSealed(SealedKind.table, 1, Buffer.from('some body'))
    for (let at = 0; at < valid.length; at++) {
      const copy = Buffer.from(valid)
      copy[at] = (copy[at] ?? 0) ^ 4
      expect(decodeSealed(copy, SealedKind.table, 1).is).toBe('damaged')
    }
    expect(decodeSealed(valid, SealedKind.table, 2)).toEqual({ is: 'format', version: 1 })
  })
})

describe('a table', () => {
  it('is the same after encoding, whatever was done to it', () => {
    const step = fc.tuple(fc.constantFrom('data', 'hole', 'lost'), fc.nat(300), fc.nat(2 ** 32 - 1))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => {
        const table = new Table()
        for (const [what, block, crc] of steps) {
          if (what === 'data') table.setData(block, crc)
          else if (what === 'hole') table.setHole(block)
          else table.setLost(block)
        }
        const again = Table.decode(table.encode())
        if (typeof again === 'string') throw new Error(again)
        expect(again.encode().equals(table.encode())).toBe(true)
        expect(again.allocated).toBe(table.allocated)
        for (let block = 0; block < 310; block++) {
          expect(again.state(block)).toBe(table.state(block))
          expect(again.crc(block)).toBe(table.crc(block))
        }
      }),
      { seed: SEED, numRuns: 200 }
    )
  })

  it('calls every block lost that it does not know, if it was lost itself', () => {
    const table = new Table(BlockState.lost)
    table.setData(5, 1)
    expect([table.state(4), table.state(5), table.state(1000)]).toEqual([2, 1, 2])
  })
})

describe('replay', () => {
  const replay = (bytes: Buffer, checkpoint = 0, proven = 0) =>
    replayJournal([{ number: 1, bytes }], checkpoint, proven)

  it('cuts at an unproven tear and keeps what came before', () => {
    const torn = segmentOf(4).subarray(0, -1)
    expect(replay(torn).records.map(record => record.lsn)).toEqual([1, 2, 3])
    expect(replay(torn).gaps).toEqual([])
  })

  it('reports what is missing at or below a proven sync', () => {
    const torn = segmentOf(4).subarray(0, SEGMENT_HEAD_BYTES + recordBytes(Kind.write, 1))
    expect(replay(torn, 0, 3).gaps).toEqual([{ from: 2, to: 4 }])
    expect(replay(segmentOf(2, 5), 1, 1).gaps).toEqual([{ from: 2, to: 5 }])
    expect(replay(Buffer.alloc(100)).badSegments).toEqual([1])
  })

  it('takes no record of another segment, and none voided by a later segment', () => {
    const old = segmentOf(4)
    const other = Buffer.alloc(8, 7)
    const fields = { number: 2, startLsn: 3, provenLsn: 2, incarnation: 2, nonce: other }
    const stale = Buffer.concat([encodeSegmentHead(fields), old.subarray(SEGMENT_HEAD_BYTES)])
    const segments = [
      { number: 1, bytes: old },
      { number: 2, bytes: stale }
    ]
    const { records, gaps } = replayJournal(segments, 0, 0)
    expect(records.map(record => record.lsn)).toEqual([1, 2])
    expect(gaps).toEqual([])
    expect(NO_DATA.length).toBe(0)
  })
})

describe('the digest of a chunk', () => {
  it('is a CID that depends on place, checksum and bytes of every block', () => {
    const of = (...blocks: Array<[number, number, number]>) => {
      const digest = chunkDigest()
      for (const [block, crc, fill] of blocks)
        digest.add(block, crc, Buffer.alloc(BLOCK_BYTES, fill))
      return digest.finish()
    }
    expect(of([0, 1, 1])).toMatch(/^bafkrei[a-z2-7]{52}$/)
    const all = [of(), of([0, 1, 1]), of([1, 1, 1]), of([0, 2, 1]), of([0, 1, 2])]
    expect(new Set([...all, of([0, 1, 1], [1, 1, 1])]).size).toBe(6)
    expect(of([0, 1, 1])).toBe(of([0, 1, 1]))
  })
})
