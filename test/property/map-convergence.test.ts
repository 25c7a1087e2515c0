// Goal: replicas that saw the same claims say the same, whatever the network and Yjs's client ids
// did; and no claim is ever replaced by a lesser one.
// Method: 2 to 5 replicas add random claims; their updates are delivered doubled, out of order or
// not at all; replicas restart with fresh client ids; then every pair syncs. SEED= repeats a run.
import { describe, expect, it } from 'vitest'
import type { Claim, ClaimSet, Rules } from '../../crdt/claim-set.ts'
import { ClaimSet as Document } from '../../crdt/claim-set.ts'
import { mergeInto, rewrite } from '../../crdt/generation.ts'
import { meshRules } from '../../crdt/mesh-document.ts'
import { volumeRules } from '../../crdt/volume-document.ts'
import { volumeIdOf } from '../support/map-records.ts'
import { deliver, pull, randomMeshRecord, randomVolumeRecord } from '../support/map-replicas.ts'
import { SeededRandom, seedOfRun } from '../support/process-random.ts'

const SEED = seedOfRun()
const RUNS = 60

type Kind<R> = { rules: Rules<R>; record: (random: SeededRandom) => R }
const mesh = { rules: meshRules, record: randomMeshRecord }
const volume = { rules: volumeRules(volumeIdOf(1)), record: randomVolumeRecord }

describe.each([
  ['the mesh', run(mesh)],
  ['a volume', run(volume)]
])('replicas of the document of %s', (_name, { converges, commutes }) => {
  it('converge under loss, doubling and reordering, and keep the greatest claims', () => {
    for (let n = 0; n < RUNS; n++) converges(new SeededRandom(SEED + n))
  })

  it('merge to the same in any order of generations', () => {
    for (let n = 0; n < RUNS; n++) commutes(new SeededRandom(SEED + n))
  })
})

function run<R>(kind: Kind<R>) {
  return {
    converges: (random: SeededRandom) => converges(kind, random),
    commutes: (random: SeededRandom) => commutes(kind, random)
  }
}

function converges<R>(kind: Kind<R>, random: SeededRandom): void {
  const replicas = Array.from({ length: 2 + random.below(4) }, () => create(kind, random))
  const updates: Uint8Array[] = []
  const added: R[] = []
  for (let step = 0; step < 80; step++) {
    const at = random.below(replicas.length)
    const replica = replicas[at]
    if (replica === undefined) continue
    const before = [...replica.claims()]
    act(kind, random, { replica, updates, added })
    expectNoLoss(kind, before, replica)
    if (random.below(15) === 0) replicas[at] = restart(kind, random, replica)
  }
  syncAll(replicas)
  const first = replicas[0]
  if (first === undefined) return
  for (const replica of replicas) {
    expect(says(replica)).toEqual(says(first))
    expect(replica.digest()).toBe(first.digest())
  }
  const all = create(kind, random)
  all.add(added)
  expect(says(first)).toEqual(says(all))
}

/** Adds a claim of our own, or receives any update ever made, in no order at all. */
function act<R>(
  kind: Kind<R>,
  random: SeededRandom,
  { replica, updates, added }: { replica: ClaimSet<R>; updates: Uint8Array[]; added: R[] }
): void {
  if (random.below(2) === 0) {
    const record = kind.record(random)
    const update = replica.add([record])
    added.push(record)
    if (update !== undefined) updates.push(update)
    return
  }
  const update = updates[random.below(updates.length)]
  if (update !== undefined) expect(deliver(replica, update).is).not.toBe('bad')
}

function commutes<R>(kind: Kind<R>, random: SeededRandom): void {
  const [a, b] = [create(kind, random), create(kind, random)]
  for (let n = 0; n < 20; n++) {
    a.add([kind.record(random)])
    b.add([kind.record(random)])
  }
  const ab = rewrite(a, create(kind, random))
  const ba = rewrite(b, create(kind, random))
  mergeInto(ab, b)
  mergeInto(ba, a)
  expect(says(ab)).toEqual(says(ba))
  expect(says(rewrite(ab, create(kind, random)))).toEqual(says(ab))
}

function syncAll<R>(replicas: ReadonlyArray<ClaimSet<R>>): void {
  for (let round = 0; round < 2; round++) {
    for (const to of replicas) {
      for (const from of replicas) if (to !== from) expect(pull(to, from).is).not.toBe('bad')
    }
  }
}

/** Few client ids below many above: Yjs would let the greater win. */
function create<R>(kind: Kind<R>, random: SeededRandom): ClaimSet<R> {
  return new Document(kind.rules, { clientId: 1 + random.below(2 ** 48) })
}

function restart<R>(kind: Kind<R>, random: SeededRandom, replica: ClaimSet<R>): ClaimSet<R> {
  const fresh = create(kind, random)
  expect(deliver(fresh, replica.encode()).is).not.toBe('bad')
  expect(fresh.digest()).toBe(replica.digest())
  return fresh
}

/** The keys that nothing dominates: all that a view is made of. */
function says<R>(set: ClaimSet<R>): string[] {
  return [...set.claims()].map(claim => claim.key).sort()
}

/** Whatever is gone must have a greater claim about the same thing in its place. */
function expectNoLoss<R>(kind: Kind<R>, before: ReadonlyArray<Claim<R>>, set: ClaimSet<R>): void {
  const now = [...set.claims()]
  const keys = new Set(now.map(claim => claim.key))
  for (const lost of before.filter(claim => !keys.has(claim.key))) {
    const rivals = now.filter(({ record }) => sameGroup(kind, record, lost.record))
    expect(rivals.some(rival => kind.rules.dominates(rival, lost))).toBe(true)
  }
}

function sameGroup<R>(kind: Kind<R>, a: R, b: R): boolean {
  return kind.rules.group(a) === kind.rules.group(b)
}
