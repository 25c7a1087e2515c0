// Goal: no update from outside can throw, change a document it should not, or take away the
// greatest claim of anything; what is judged good is exactly what Yjs then does.
// Method: mutated real updates, random bytes, and updates made by Yjs documents that keep none of
// our rules, against a filled document. SEED= repeats a run.
import { describe, expect, it } from 'vitest'
import * as Y from 'yjs'
import type { ClaimSet } from '../../crdt/claim-set.ts'
import { claimKey } from '../../crdt/claim-set.ts'
import type { MeshRecord } from '../../crdt/mesh-document.ts'
import { createMeshDocument, meshRules } from '../../crdt/mesh-document.ts'
import { readStep, stepOne, stepTwo } from '../../crdt/sync-steps.ts'
import { readUpdate } from '../../crdt/update-reader.ts'
import { judge } from '../../crdt/validate.ts'
import { createVolumeDocument, volumeView } from '../../crdt/volume-document.ts'
import { nameRecordOf, nodeRecordOf, tombstoneOf, volumeIdOf } from '../support/map-records.ts'
import { deliver, randomMeshRecord, randomVolumeRecord } from '../support/map-replicas.ts'
import { mutate } from '../support/process-mutate.ts'
import { SeededRandom, seedOfRun } from '../support/process-random.ts'

const SEED = seedOfRun()
const CLAIMS = 'claims'

describe('an update from outside', () => {
  it('is judged without throwing and without touching the document, however it was spoiled', () => {
    const random = new SeededRandom(SEED)
    const { set, updates } = filled(random)
    const digest = set.digest()
    const whole = Buffer.from(set.encode())
    let good = 0
    for (let n = 0; n < 3_000; n++) {
      const spoiled = mutate([whole, ...updates], random)
      const verdict = judge(set, spoiled)
      expect(set.digest()).toBe(digest)
      if (verdict.is === 'good') good += checkApplied(set, spoiled) ? 1 : 0
    }
    expect(Buffer.from(set.encode()).equals(whole)).toBe(true)
    console.log(`${good} of 3000 spoiled updates were still good`)
  })

  it('is refused if it breaks a rule, whatever Yjs itself would make of it', () => {
    const random = new SeededRandom(SEED + 1)
    const { set } = filled(random)
    for (let n = 0; n < 500; n++) {
      const rogue = new Y.Doc()
      rogue.clientID = 1 + random.below(2 ** 48)
      Y.applyUpdate(rogue, set.encode())
      const known = Y.encodeStateVector(rogue)
      for (let i = 0; i <= random.below(3); i++) misbehave(rogue, random)
      const update = Y.encodeStateAsUpdate(rogue, known)
      const verdict = judge(set, update)
      if (verdict.is === 'good') expect(checkApplied(set, update)).toBe(true)
    }
  })

  it('is not believed when it deletes the greatest claim or hides it under a later client', () => {
    const set = createMeshDocument(5)
    set.add([nameRecordOf(1, 'a', 1), nodeRecordOf(1, 1), tombstoneOf(2, 1)])
    for (const key of [...set.claims()].map(claim => claim.key)) {
      const rogue = new Y.Doc()
      rogue.clientID = 2 ** 48
      Y.applyUpdate(rogue, set.encode())
      rogue.getMap(CLAIMS).delete(key)
      expect(judge(set, Y.encodeStateAsUpdate(rogue)).is).toBe('bad')

      const blind = new Y.Doc({ gc: true })
      blind.clientID = 2 ** 48
      blind.getMap(CLAIMS).set(key, new Uint8Array([1]))
      blind.getMap(CLAIMS).delete(key)
      expect(judge(set, Y.encodeStateAsUpdate(blind)).is).toBe('bad')
    }
  })

  it('is early, and leaves nothing pending, if something before it is missing', () => {
    const [a, b] = [createMeshDocument(5), createMeshDocument(6)]
    a.add([nameRecordOf(1, 'a', 1)])
    const second = a.add([nameRecordOf(2, 'b', 1)])
    expect(second).toBeDefined()
    expect(deliver(b, second ?? new Uint8Array()).is).toBe('early')
    expect(b.liveCount).toBe(0)
    expect(deliver(b, a.encode()).is).toBe('good')
  })

  it('is bad if it was written in our name', () => {
    const [a, b] = [createMeshDocument(7), createMeshDocument(7)]
    const update = a.add([nameRecordOf(1, 'a', 1)]) ?? new Uint8Array()
    expect(judge(b, update)).toEqual({ is: 'bad', why: 'written in our name' })
  })
})

describe('a volume document', () => {
  it('judges spoiled updates of every kind of record without throwing, and keeps what it judged', () => {
    const random = new SeededRandom(SEED + 5)
    const id = volumeIdOf(1)
    const set = createVolumeDocument(id, 1 + random.below(2 ** 48))
    const first = set.add([randomVolumeRecord(random)]) ?? new Uint8Array()
    const updates: [Buffer, ...Buffer[]] = [Buffer.from(first)]
    for (let n = 0; n < 60; n++) {
      const update = set.add([randomVolumeRecord(random)])
      if (update !== undefined) updates.push(Buffer.from(update))
    }
    for (let n = 0; n < 2_000; n++) {
      const copy = createVolumeDocument(id, 2 ** 48 + 1)
      expect(deliver(copy, set.encode()).is).toBe('good')
      deliver(copy, mutate([Buffer.from(set.encode()), ...updates], random))
      for (const { key, record } of copy.claims()) {
        const bytes = copy.rules.encode(record)
        expect(copy.rules.decode(bytes)).toEqual(record)
        expect(key).toBe(claimKey(copy.rules, record, bytes))
      }
      volumeView(copy)
    }
  })
})

describe('the reader of updates', () => {
  it('agrees with Yjs on what an honest update says', () => {
    const random = new SeededRandom(SEED + 2)
    const { set, updates } = filled(random)
    for (const update of [...updates, Buffer.from(set.encode())]) {
      const read = readUpdate(update)
      if ('refused' in read) throw new Error(read.refused)
      const theirs = Y.decodeUpdate(new Uint8Array(update))
      const ours = read.clients.flatMap(({ client, items }) =>
        items.map(item => `${client}.${item.clock} ${item.key}`)
      )
      const items = theirs.structs.filter(struct => struct instanceof Y.Item)
      expect(ours).toEqual(items.map(i => `${i.id.client}.${i.id.clock} ${i.parentSub}`))
    }
  })

  it('gives an answer to any bytes', () => {
    const random = new SeededRandom(SEED + 3)
    for (let n = 0; n < 2_000; n++) readUpdate(random.bytes(random.below(300)))
  })
})

describe('the sync steps', () => {
  it('give an answer to any bytes', () => {
    const random = new SeededRandom(SEED + 4)
    const { set } = filled(random)
    const steps: [Buffer, Buffer] = [Buffer.from(stepOne(set)), Buffer.from(set.encode())]
    for (let n = 0; n < 2_000; n++) {
      const read = readStep(mutate(steps, random))
      if (read?.step === 1) stepTwo(set, read.stateVector)
    }
  })
})

function filled(random: SeededRandom): {
  set: ClaimSet<MeshRecord>
  updates: [Buffer, ...Buffer[]]
} {
  const set = createMeshDocument(1 + random.below(2 ** 48))
  const other = createMeshDocument(1 + random.below(2 ** 48))
  const first = set.add([nodeRecordOf(1, 1)]) ?? new Uint8Array()
  const updates: [Buffer, ...Buffer[]] = [Buffer.from(first)]
  for (let n = 0; n < 40; n++) {
    const author = n % 2 === 0 ? set : other
    const update = author.add([randomMeshRecord(random)])
    if (update === undefined) continue
    updates.push(Buffer.from(update))
    // The last of the other's updates are still to come.
    if (author === other && n < 20) deliver(set, update)
  }
  return { set, updates }
}

/** Applies a good update to a copy, and holds the index against the Yjs document. */
function checkApplied(set: ClaimSet<MeshRecord>, update: Uint8Array): boolean {
  const copy = createMeshDocument(2 ** 48 + 1)
  expect(deliver(copy, set.encode()).is).toBe('good')
  const before = [...copy.claims()]
  expect(deliver(copy, update).is).toBe('good')
  const live = [...copy.doc.getMap(CLAIMS).keys()].sort()
  const index = [...copy.groupNames()].flatMap(name => [...copy.group(name).keys()]).sort()
  expect(index).toEqual(live)
  const now = [...copy.claims()]
  for (const claim of before) {
    const stands = now.some(other => other.key === claim.key || meshRules.dominates(other, claim))
    expect(stands).toBe(true)
  }
  return true
}

/** What a member with another idea of the format might do. */
function misbehave(doc: Y.Doc, random: SeededRandom): void {
  const map = doc.getMap(CLAIMS)
  const keys = [...map.keys()]
  const key = keys[random.below(keys.length)] ?? 'none'
  switch (random.below(9)) {
    case 0:
      map.delete(key)
      break
    case 1:
      map.set(key, new Uint8Array([1, 2]))
      break
    case 2:
      map.set(key, 'text')
      break
    case 3:
      map.set('__proto__', new Uint8Array(random.bytes(20)))
      break
    case 4:
      map.set(`node/${random.below(9)}`, new Uint8Array(random.bytes(40)))
      break
    case 5:
      map.set('nested', new Y.Map([['a', 1]]))
      break
    case 6:
      doc.getText('text').insert(0, 'hello')
      break
    case 7:
      doc.getArray('list').push([new Y.Doc()])
      break
    default:
      doc.getMap('other').set(key, new Uint8Array(3))
  }
}
