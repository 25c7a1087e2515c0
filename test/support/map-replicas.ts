/** Bare documents that exchange updates under a test's control: no network, no clock. */
import type { ClaimSet } from '../../crdt/claim-set.ts'
import type { MeshRecord } from '../../crdt/mesh-document.ts'
import { readStep, stepOne, stepTwo } from '../../crdt/sync-steps.ts'
import type { Verdict } from '../../crdt/validate.ts'
import { judge } from '../../crdt/validate.ts'
import type { VolumeRecord } from '../../crdt/volume-document.ts'
import * as records from './map-records.ts'
import type { SeededRandom } from './process-random.ts'

/** Judges and, if it is good, applies. */
export function deliver<R>(set: ClaimSet<R>, update: Uint8Array): Verdict<R> {
  const verdict = judge(set, update)
  if (verdict.is === 'good') set.apply(verdict.update, verdict.added)
  return verdict
}

/** One y-protocols exchange: `to` gets what it lacks of `from`. */
export function pull<R>(to: ClaimSet<R>, from: ClaimSet<R>): Verdict<R> {
  const one = readStep(stepOne(to))
  const two = one?.step === 1 ? stepTwo(from, one.stateVector) : undefined
  const read = two === undefined ? undefined : readStep(two)
  if (read?.step !== 2) throw new Error('the steps cannot be read')
  return deliver(to, read.update)
}

export function randomMeshRecord(random: SeededRandom): MeshRecord {
  const volume = random.below(4)
  switch (random.below(9)) {
    case 8: {
      const [a, b] = random.pick([
        ['east', 'west'],
        ['east', 'north'],
        ['west', 'west']
      ])
      const version = { counter: random.below(5), by: records.nodeIdOf(random.below(3)) }
      const factor = random.pick([0, 2.5, 'never' as const, undefined])
      return { kind: 'link', a, b, ...version, factor }
    }
    case 0:
      return records.tombstoneOf(random.below(12), random.below(3))
    case 1:
    case 2:
      return records.nodeRecordOf(random.below(4), random.below(6), random.below(3))
    case 3: {
      const signed = new Uint8Array([random.below(3)])
      return { kind: 'revocation', peer: records.nodeIdOf(random.below(3)), signed }
    }
    default: {
      const name = random.pick(['a', 'b', 'c'])
      return records.nameRecordOf(volume, name, random.below(6), random.below(3))
    }
  }
}

export function randomVolumeRecord(random: SeededRandom): VolumeRecord {
  const epoch = records.epochOf(random.below(6), random.below(3), random.below(3))
  const version = { counter: random.below(4), by: records.nodeIdOf(random.below(3)) }
  switch (random.below(8)) {
    case 7:
      return records.policyOf(random.below(5), version)
    case 5:
      return records.patternOf(random.below(3), version, random.below(2) === 0)
    case 6:
      return { kind: 'zone', zone: random.pick(['UTC', 'Europe/Berlin']), ...version }
    case 0:
      return { kind: 'size', sizeBytes: 4096 * (1 + random.below(4)), epoch }
    case 1: {
      const from = random.below(8)
      return records.layoutOf(from, from + 1 + random.below(6), epoch, random.below(4))
    }
    case 2: {
      const node = records.nodeIdOf(random.below(3))
      return { kind: 'holder', token: epoch.token, node, since: random.below(9) }
    }
    case 3:
      return { kind: 'spec', spec: records.specOf(records.volumeIdOf(1), 1 + random.below(2)) }
    default:
      return records.claimOf(random.below(4), epoch, random.below(4))
  }
}
