/**
 * The start counter of the store: file `incarnation`, two slots of 4096 bytes, written in turn.
 *
 *   0 "SHOALINC" | 8 version u32 | 12 CRC32C u32 of bytes 0..12 and 16..32 | 16 number u64
 *   24 nonce 8 | rest zeroes
 *
 * Invariants: the number grows with every start, and is durable before the store serves anything;
 * the slot that holds the present number is never the one being written.
 */
import { crc32c } from '@node-rs/crc32'
import { checksum } from '../../protocols/checksum.ts'
import type { Incarnation, Nonce } from '../../protocols/ids.ts'
import { isCounter } from '../../protocols/ids.ts'
import type { Disk, DiskFile, Random } from '../ports.ts'
import type { Health } from './health.ts'

export const INCARNATION_FILE = 'incarnation'
const SLOT_BYTES = 4096
const MAGIC = Buffer.from('SHOALINC')
const VERSION = 1

/** The greatest of both slots, or undefined if neither is whole. */
export async function readIncarnation(file: DiskFile): Promise<Incarnation | undefined> {
  const bytes = Buffer.alloc(2 * SLOT_BYTES)
  await file.read(bytes, 0)
  const a = decodeSlot(bytes.subarray(0, SLOT_BYTES))
  const b = decodeSlot(bytes.subarray(SLOT_BYTES))
  if (a === undefined || b === undefined) return a ?? b
  return a.number > b.number ? a : b
}

/** Durable when it resolves. */
export async function writeIncarnation(
  disk: Disk,
  health: Health,
  random: Random,
  number: number
): Promise<Incarnation> {
  const nonce = Buffer.from(random.bytes(8)).toString('hex') as Nonce
  const file = await disk.open(INCARNATION_FILE, 'if-absent')
  try {
    await file.write([encodeSlot({ number, nonce })], (number % 2) * SLOT_BYTES)
    await health.sync(file.sync())
  } finally {
    await file.close()
  }
  await health.sync(disk.syncDirectory('.'))
  return { number, nonce }
}

export function encodeSlot(incarnation: Incarnation): Buffer {
  const slot = Buffer.alloc(SLOT_BYTES)
  slot.set(MAGIC, 0)
  slot.writeUInt32LE(VERSION, 8)
  slot.writeBigUInt64LE(BigInt(incarnation.number), 16)
  slot.write(incarnation.nonce, 24, 'hex')
  slot.writeUInt32LE(sealOf(slot), 12)
  return slot
}

export function decodeSlot(slot: Buffer): Incarnation | undefined {
  if (slot.length < 32 || !slot.subarray(0, 8).equals(MAGIC)) return undefined
  if (slot.readUInt32LE(8) !== VERSION || slot.readUInt32LE(12) !== sealOf(slot)) return undefined
  const number = Number(slot.readBigUInt64LE(16))
  if (!isCounter(number)) return undefined
  return { number, nonce: slot.toString('hex', 24, 32) as Nonce }
}

function sealOf(slot: Buffer): number {
  return crc32c(slot.subarray(16, 32), checksum(slot.subarray(0, 12)))
}
