/**
 * DIR/calibration.cbor: what the last calibration measured (docs/format-calibration.md). Replaced as
 * a whole. It can be measured again at any time: a file that cannot be read is named and ignored.
 */
import { messageOf } from '../../protocols/fault.ts'
import { MAX_CALIBRATION_FILE_BYTES } from '../../protocols/limits.ts'
import {
  type CalibrationRecord,
  decodeCalibration,
  encodeCalibration
} from '../../protocols/load/capacity.ts'
import type { Disk } from '../ports.ts'
import { isAbsent } from '../storage/health.ts'

export const CALIBRATION_FILE = 'calibration.cbor'

export interface Loaded {
  readonly record?: CalibrationRecord
  /** What was wrong with the file, in words. */
  readonly problem?: string
}

/** Never rejects. */
export async function loadCalibration(disk: Disk): Promise<Loaded> {
  try {
    const bytes = await readWhole(disk)
    if (bytes === undefined) return {}
    const record = decodeCalibration(bytes)
    return typeof record === 'string' ? { problem: problemOf(record) } : { record }
  } catch (error) {
    return { problem: problemOf(messageOf(error)) }
  }
}

/** Durable when it resolves. */
export async function saveCalibration(disk: Disk, record: CalibrationRecord): Promise<void> {
  const temporary = `${CALIBRATION_FILE}.new`
  const file = await disk.open(temporary, 'if-absent')
  try {
    await file.truncate(0)
    await file.write([encodeCalibration(record)], 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await disk.rename(temporary, CALIBRATION_FILE)
  await disk.syncDirectory('.')
}

function problemOf(why: string): string {
  return (
    `${CALIBRATION_FILE} cannot be used (${why}): what this node can do is not known until ` +
    '`shoal calibrate` measures it again'
  )
}

async function readWhole(disk: Disk): Promise<Uint8Array | undefined> {
  const file = await disk.open(CALIBRATION_FILE).catch((error: unknown) => {
    if (isAbsent(error)) return undefined
    throw error
  })
  if (file === undefined) return undefined
  try {
    // One byte more than it may have: a longer file is refused by its length.
    const bytes = Buffer.alloc(Math.min(await file.size(), MAX_CALIBRATION_FILE_BYTES + 1))
    await file.read(bytes, 0)
    return bytes
  } finally {
    await file.close()
  }
}
