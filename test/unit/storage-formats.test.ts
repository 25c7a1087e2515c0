// Goal: whatever bytes a medium gives back, every decoder of the store answers a value or a
//   refusal, never an exception; and what was encoded is decoded again.
// Method: random bytes, valid encodings with random bytes changed, and round trips (fast-check).
import { decode } from 'cborg'
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
  MANIFEST_VERSION,
  OLDEST_MANIFEST_VERSION,
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
  readWhole,
  SEALED_HEADER_BYTES,
  SealedKind
} from '../../node/storage/sealed.ts'
import { BlockState, Table } from '../../node/storage/table.ts'
import { blockChecksums } from '../../protocols/checksum.ts'
import { chunkDigest } from '../../protocols/digest.ts'
import type { HandoffId, Nonce } from '../../protocols/ids.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import { MemoryDisk } from '../support/memory-disk.ts'
import {
  ATTACH,
  blocksOf,
  chunkKey,
  NODE,
  openRig,
  shardRecord,
  VOLUME
} from '../support/storage-rig.ts'

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
        decodeManifest(input, 1)
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
        decodeManifest(one, 1)
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
    const sealed = decodeSealed(
      encodeManifest(shardRecord(), listed),
      SealedKind.manifest,
      MANIFEST_VERSION
    )
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

/** Bytes that the first release wrote: a shard with a holder, and the same after a detach. */
const FIRST_MANIFESTS = {
  held: [
    '53484f4c02000100a60100003c7260b9a2666368756e6b735820030000000000000000000000040000000000',
    '0000000000000000000000400000667265636f7264a76472756e7381a662746f106466726f6d006565706f63',
    '68a265746f6b656ea266617474616368703131323233333434353536363737383867636f756e746572016763',
    '6f756e7465720166636f6c756d6e00677265706c696361006a67656e65726174696f6e006473706563a66269',
    '647820616261626162616261626162616261626162616261626162616261626162616266636f706965730167',
    '636f6c756d6e73016a67656e65726174696f6e006b657874656e7442797465731a040000006f737472697065',
    '556e697442797465731a0001000065746f6b656ea26661747461636870313132323333343435353636373738',
    '3867636f756e7465720766686f6c646572a364686f737464686f7374646e6f64657834313244334b6f6f5761',
    '6161616161616161616161616161616161616161616161616161616161616161616161616161616161616165',
    '73696e6365016872656c65617365648069726563656976696e67806973697a6542797465731a40000000'
  ].join(''),
  detached: [
    '53484f4c020001005a0100001ca1687ea2666368756e6b735820030000000000000000000000040000000000',
    '0000000000000000000000400000667265636f7264a76472756e7381a662746f106466726f6d006565706f63',
    '68a265746f6b656ea266617474616368703131323233333434353536363737383867636f756e746572016763',
    '6f756e7465720166636f6c756d6e00677265706c696361006a67656e65726174696f6e006473706563a66269',
    '647820616261626162616261626162616261626162616261626162616261626162616266636f706965730167',
    '636f6c756d6e73016a67656e65726174696f6e006b657874656e7442797465731a040000006f737472697065',
    '556e697442797465731a0001000065746f6b656ea26661747461636870313132323333343435353636373738',
    '3867636f756e7465720766686f6c646572f66872656c65617365648069726563656976696e67806973697a65',
    '42797465731a40000000'
  ].join('')
}

describe('a manifest of version 1', () => {
  const read = (hex: string) => {
    const sealed = decodeSealed(
      Buffer.from(hex, 'hex'),
      SealedKind.manifest,
      MANIFEST_VERSION,
      OLDEST_MANIFEST_VERSION
    )
    return sealed.is === 'found' ? decodeManifest(sealed.body, sealed.version) : sealed.is
  }
  const token = { counter: 7, attach: ATTACH }
  const epoch = { token: { counter: 1, attach: ATTACH }, counter: 1 }
  const record = {
    ...shardRecord(VOLUME, 7),
    token,
    writer: token,
    runs: [{ from: 0, to: 16, generation: 0, column: 0, replica: 0, epoch }]
  }
  const chunks = [
    { key: chunkKey(3), allocatedBlocks: 4 },
    { key: chunkKey(0), allocatedBlocks: 16_384 }
  ]

  it('is read: who had the token wrote last, and nothing is on the move', () => {
    expect(read(FIRST_MANIFESTS.held)).toEqual({ record, chunks })
    const detached = { record: { ...record, holder: undefined }, chunks }
    expect(read(FIRST_MANIFESTS.detached)).toEqual(detached)
  })

  it('is replaced by the version of today when its shard is next saved', async () => {
    const disk = new MemoryDisk()
    const { store } = await openRig(disk)
    await store.saveShard(shardRecord())
    await store.close()
    const bytes = Buffer.from(FIRST_MANIFESTS.held, 'hex')
    const file = await disk.open(MANIFEST)
    await file.truncate(0)
    await file.write([bytes], 0)
    const next = (await openRig(disk)).store
    expect(next.shard(VOLUME)).toEqual(record)
    expect(versionOf(await readWhole(disk, MANIFEST))).toBe(1)
    const moved = { ...record, mover: { node: NODE, host: 'other', since: 2 } }
    await next.saveShard(moved)
    expect(versionOf(await readWhole(disk, MANIFEST))).toBe(MANIFEST_VERSION)
    await next.close()
    const last = (await openRig(disk)).store
    expect(last.shard(VOLUME)).toEqual(moved)
    await last.close()
  })

  it('is no manifest of version 2, nor the other way round', () => {
    const first = Buffer.from(FIRST_MANIFESTS.held, 'hex').subarray(SEALED_HEADER_BYTES)
    const second = encodeManifest(shardRecord(), []).subarray(SEALED_HEADER_BYTES)
    expect(typeof decodeManifest(first)).toBe('string')
    expect(typeof decodeManifest(second, 1)).toBe('string')
  })
})

describe('a manifest', () => {
  it('keeps every step of a handoff, and no undefined value', () => {
    const epoch = { token: { counter: 3, attach: ATTACH }, counter: 9 }
    const run = { from: 2, to: 3, generation: 0, column: 0, replica: 0, epoch }
    const handoff = 'aabbccddeeff0011' as HandoffId
    const receiving = {
      run,
      from: NODE,
      handoff,
      isPrepared: true,
      reservedBytes: 64 * BLOCK_BYTES
    }
    const record = {
      ...shardRecord(),
      holder: undefined,
      mover: { node: NODE, host: 'host', since: 5 },
      runs: [run],
      released: [
        { run, to: NODE, handoff },
        { run, to: NODE, handoff: undefined },
        { run, to: NODE }
      ],
      receiving: [receiving, { ...receiving, isPrepared: false }]
    }
    const body = encodeManifest(record, []).subarray(SEALED_HEADER_BYTES)
    expect(decodeManifest(body)).toEqual({ record, chunks: [] })
    expect(decode(body, { allowUndefined: false })).toHaveProperty('record.holder', null)
  })
})

const MANIFEST = `shards/${VOLUME}/manifest`

function versionOf(bytes: Buffer | undefined): number | undefined {
  return bytes?.readUInt16LE(6)
}

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
