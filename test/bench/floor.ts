/**
 * What the bytes of a move cost in CPU time though nobody sent, scheduled or waited for anything:
 * read, checksummed by source, target and reader, written, synced, read back, hashed on both sides.
 * With what the same bytes cost on one stream it tells how fast a move can be on so many cores.
 */
import {
  closeSync,
  fdatasyncSync,
  ftruncateSync,
  openSync,
  readSync,
  rmSync,
  writeSync
} from 'node:fs'
import { join } from 'node:path'
import { blockChecksums, firstBadBlock } from '../../protocols/checksum.ts'
import { BlockTable } from '../../protocols/handoff/block-table.ts'
import { BLOCK_BYTES, KiB, MiB } from '../../protocols/limits.ts'

const PIECE_BYTES = 256 * KiB
/** More than the caches hold: what arrives from a network is not in them either. */
const MEMORY_BYTES = 64 * MiB
/** At the source when it reads, at the target when it stores, and when it reads back. */
const CHECKSUMS = 3

/** CPU seconds of one core for `bytes`, the least of three tries. */
export function handlingCpuSeconds(bytes: number, scratch: string): number {
  const pieces = Math.floor(bytes / PIECE_BYTES)
  const names = ['source', 'target'].map(name => join(scratch, `floor-${name}`))
  const [source = -1, target = -1] = names.map(name => openSync(name, 'w+'))
  const memory = Buffer.alloc(MEMORY_BYTES, Buffer.alloc(PIECE_BYTES, 'a move of herring '))
  const piece = (i: number): Buffer => {
    const at = (i * PIECE_BYTES) % MEMORY_BYTES
    return memory.subarray(at, at + PIECE_BYTES)
  }
  const crcs = blockChecksums(piece(0))
  const each = (act: (i: number) => unknown): void => {
    for (let i = 0; i < pieces; i++) act(i)
  }
  try {
    each(i => writeSync(source, piece(i), 0, PIECE_BYTES, i * PIECE_BYTES))
    const tries = [1, 2, 3].map(() => {
      ftruncateSync(target, 0)
      const before = process.cpuUsage()
      each(i => readSync(source, piece(i), 0, PIECE_BYTES, i * PIECE_BYTES))
      for (let check = 0; check < CHECKSUMS; check++) each(i => firstBadBlock(piece(i), crcs))
      each(i => writeSync(target, piece(i), 0, PIECE_BYTES, i * PIECE_BYTES))
      fdatasyncSync(target)
      each(i => readSync(target, piece(i), 0, PIECE_BYTES, i * PIECE_BYTES))
      for (let side = 0; side < 2; side++) {
        const table = new BlockTable((pieces * PIECE_BYTES) / BLOCK_BYTES)
        each(i => table.setData((i * PIECE_BYTES) / BLOCK_BYTES, crcs, piece(i)))
        table.digest()
      }
      const { user, system } = process.cpuUsage(before)
      return (user + system) / 1e6
    })
    return Math.min(...tries)
  } finally {
    for (const file of [source, target]) closeSync(file)
    for (const name of names) rmSync(name)
  }
}
