/**
 * The start counter of a node without a store: same file and meaning as a store's incarnation, so
 * that the map can tell an older start of a gateway from a newer one.
 */
import type { Incarnation } from '../protocols/ids.ts'
import type { Disk, Log, Random } from './ports.ts'
import { Health } from './storage/health.ts'
import { INCARNATION_FILE, readIncarnation, writeIncarnation } from './storage/incarnation.ts'

/** Durable when it resolves. */
export async function countStart(disk: Disk, random: Random, log: Log): Promise<Incarnation> {
  return writeIncarnation(disk, new Health(log), random, (await lastStart(disk)) + 1)
}

/**
 * The operator's word that these bytes go on, after start `number` of another copy of them: the
 * next start is greater. Durable when it resolves.
 */
export async function continueAfter(
  disk: Disk,
  random: Random,
  log: Log,
  number: number
): Promise<void> {
  // The two slots are written in turn: the one that holds the present number must stay whole.
  const isOfSameSlot = (number - (await lastStart(disk))) % 2 === 0
  await writeIncarnation(disk, new Health(log), random, isOfSameSlot ? number + 1 : number)
}

async function lastStart(disk: Disk): Promise<number> {
  const file = await disk.open(INCARNATION_FILE, 'if-absent')
  try {
    return (await readIncarnation(file))?.number ?? 0
  } finally {
    await file.close()
  }
}
