/**
 * The proof of the demo: 64 MiB of random bytes through NBD, made durable, and read back over
 * another connection, every byte compared.
 */
import { createHash, randomBytes } from 'node:crypto'
import { connectNbd, type NbdClient } from '../node/nbd/client.ts'
import { orderedConcurrently } from '../node/volumes/concurrency.ts'
import { MiB } from '../protocols/limits.ts'
import type { DemoExport } from './demo-mesh.ts'

export const PROOF_BYTES = 64 * MiB
const PIECE_BYTES = MiB
const IN_FLIGHT = 8

export interface Proof {
  readonly sha256: string
  readonly writeMs: number
  readonly readMs: number
}

/** Throws if a byte differs, or anything fails. */
export async function proveVolume({ socketPath, exportName }: DemoExport): Promise<Proof> {
  const pieces = Array.from({ length: PROOF_BYTES / PIECE_BYTES }, () => randomBytes(PIECE_BYTES))
  const startMs = performance.now()
  await withConnection(socketPath, exportName, async nbd => {
    await each(pieces, (piece, offset) => nbd.write(offset, piece))
    await nbd.flush()
  })
  const writtenMs = performance.now()
  await withConnection(socketPath, exportName, nbd =>
    each(pieces, async (piece, offset) => {
      const found = await nbd.read(offset, piece.length)
      if (Buffer.compare(found, piece) === 0) return
      throw new Error(`the MiB at ${offset} is not what was written`)
    })
  )
  const hash = createHash('sha256')
  for (const piece of pieces) hash.update(piece)
  return {
    sha256: hash.digest('hex'),
    writeMs: writtenMs - startMs,
    readMs: performance.now() - writtenMs
  }
}

async function withConnection(
  socketPath: string,
  exportName: string,
  work: (nbd: NbdClient) => Promise<void>
): Promise<void> {
  const nbd = await connectNbd({ socketPath, exportName })
  try {
    await work(nbd)
  } finally {
    await nbd.close()
  }
}

async function each(
  pieces: readonly Buffer[],
  task: (piece: Buffer, offset: number) => Promise<void>
): Promise<void> {
  const jobs = pieces.map((piece, index) => () => task(piece, index * PIECE_BYTES))
  for await (const _ of orderedConcurrently(jobs, IN_FLIGHT, job => job())) {
    // Only the end of each piece is of interest.
  }
}
