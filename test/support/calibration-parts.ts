/** A calibration on a real directory, with as little data and time as it can do with. */
import { systemClock, systemRandom } from '../../node/clock.ts'
import type { CalibrationParts } from '../../node/load/calibrate.ts'
import { scratchIn } from '../../node/load/scratch.ts'
import { openDisk } from '../../node/storage/real-disk.ts'
import { MiB } from '../../protocols/limits.ts'
import { quietLog, SHARD_NODE } from './shard-harness.ts'

export function calibrationParts(dir: string): CalibrationParts {
  return {
    self: SHARD_NODE,
    disk: openDisk(dir),
    scratch: scratchIn(dir),
    clock: systemClock,
    random: systemRandom,
    log: quietLog,
    requests: () => 0,
    dataBytes: 8 * MiB,
    cellMs: 20
  }
}
