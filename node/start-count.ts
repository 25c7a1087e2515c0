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
  const file = await disk.open(INCARNATION_FILE, 'if-absent')
  const last = await readIncarnation(file)
  await file.close()
  return writeIncarnation(disk, new Health(log), random, (last?.number ?? 0) + 1)
}

/** The operator's word that these bytes go on, after start `number` of another copy of them. */
export async function continueAfter(
  disk: Disk,
  random: Random,
  log: Log,
  number: number
): Promise<void> {
  await writeIncarnation(disk, new Health(log), random, number)
}
