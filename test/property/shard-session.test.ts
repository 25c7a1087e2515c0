// Goal: no request of an older token or session is ever applied after a newer hello or open was
// answered, and nobody waits for ever.
// Method: random interleavings of grants, hellos, opens, requests, answers of the store and broken
// streams drive the pure machine; a small model beside it watches every effect.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareTokens, type Token } from '../../protocols/ids.ts'
import { MAX_WAITING_HELLOS, MAX_WAITING_OPENS } from '../../protocols/limits.ts'
import {
  type Admission,
  type AdmissionEffect,
  type AdmissionEvent,
  initialAdmission,
  step
} from '../../protocols/shard-io/session.ts'
import { token } from '../support/shard-harness.ts'

type Rank = readonly [Token, number]

function compareRanks(a: Rank, b: Rank): number {
  return compareTokens(a[0], b[0]) || a[1] - b[1]
}

interface ModelStream {
  readonly rank: Rank
  at: 'waiting' | 'welcome' | 'out' | 'gone'
  begun: number
  hellos: Set<number>
}

/** Drives the machine as the server does, and checks each effect against what must hold. */
class Model {
  state: Admission = initialAdmission(token(1))
  readonly streams = new Map<number, ModelStream>()
  readonly opens = new Map<number, Token>()
  #floor: Rank = [token(0), 0]
  #nextId = 1

  grant(raise: number): void {
    const { greatest } = this.state
    this.#send({ type: 'grant', token: token(greatest.counter + raise) })
  }

  open(): void {
    if (this.state.opens.length >= MAX_WAITING_OPENS) return
    const open = this.#nextId++
    this.opens.set(open, this.state.greatest)
    this.#send({ type: 'open', open, token: this.state.greatest })
  }

  connect(tokenLag: number, session: number): void {
    const counter = Math.max(0, this.state.greatest.counter - tokenLag)
    const stream = this.#nextId++
    this.streams.set(stream, {
      rank: [token(counter), session],
      at: 'waiting',
      begun: 0,
      hellos: new Set()
    })
    this.hello(stream)
  }

  hello(stream: number): void {
    const found = this.streams.get(stream)
    if (found === undefined || found.at === 'out' || found.at === 'gone') return
    if (found.hellos.size >= MAX_WAITING_HELLOS) return
    const requestId = this.#nextId++
    found.hellos.add(requestId)
    const [under, session] = found.rank
    this.#send({ type: 'hello', stream, token: under, session, requestId })
  }

  /** The server begins only what stands in the queue of a welcome stream. */
  begin(stream: number): void {
    const found = this.streams.get(stream)
    if (found?.at !== 'welcome') return
    this.#send({ type: 'begin', stream }, found)
  }

  settle(stream: number): void {
    const found = this.streams.get(stream)
    if (found === undefined || found.begun === 0) return
    found.begun -= 1
    this.#send({ type: 'settle', stream })
  }

  gone(stream: number): void {
    const found = this.streams.get(stream)
    if (found === undefined || found.at === 'gone') return
    found.at = 'gone'
    found.hellos.clear()
    this.#send({ type: 'gone', stream })
  }

  /** The store answers everything; then nobody may be waiting. */
  finish(): void {
    for (const [stream, found] of this.streams) while (found.begun > 0) this.settle(stream)
    expect([...this.opens]).toEqual([])
    for (const found of this.streams.values()) expect(found.hellos.size).toBe(0)
    expect(this.state.inFlight + this.state.olderInFlight).toBe(0)
  }

  #send(event: AdmissionEvent, beginner?: ModelStream): void {
    const { state, effects } = step(this.state, event)
    this.state = state
    for (const effect of effects) this.#check(effect, beginner)
  }

  #check(effect: AdmissionEffect, beginner: ModelStream | undefined): void {
    if (effect.type === 'apply') {
      if (beginner === undefined) throw new Error('applied without a request')
      expect(compareRanks(beginner.rank, this.#floor)).toBeGreaterThanOrEqual(0)
      beginner.begun += 1
    } else if (effect.type === 'welcome') {
      const found = this.#stream(effect.stream)
      expect(found.hellos.delete(effect.requestId)).toBe(true)
      expect(found.at === 'waiting' || found.at === 'welcome').toBe(true)
      found.at = 'welcome'
      this.#raise(found.rank)
    } else if (effect.type === 'refuse') {
      const found = this.#stream(effect.stream)
      expect(found.hellos.delete(effect.requestId)).toBe(true)
      if (found.at !== 'gone') found.at = 'out'
    } else if (effect.type === 'retire') {
      const found = this.#stream(effect.stream)
      if (found.at !== 'gone') found.at = 'out'
    } else if (effect.type === 'opened' || effect.type === 'outdated') {
      const under = this.opens.get(effect.open)
      if (under === undefined) throw new Error('an open was answered twice')
      this.opens.delete(effect.open)
      expect(compareTokens(under, this.state.greatest) === 0).toBe(effect.type === 'opened')
      if (effect.type === 'opened') this.#raise([under, -1])
    }
  }

  /** An answer went out: from now on nothing older may be in flight or begin. */
  #raise(rank: Rank): void {
    if (compareRanks(rank, this.#floor) > 0) this.#floor = rank
    for (const found of this.streams.values()) {
      if (found.begun > 0) expect(compareRanks(found.rank, rank)).toBeGreaterThanOrEqual(0)
    }
  }

  #stream(stream: number): ModelStream {
    const found = this.streams.get(stream)
    if (found === undefined) throw new Error('an effect for an unknown stream')
    return found
  }
}

const action = fc.record({
  kind: fc.constantFrom(
    'grant',
    'open',
    'connect',
    'hello',
    'begin',
    'begin',
    'begin',
    'settle',
    'settle',
    'gone'
  ),
  pick: fc.nat(30),
  session: fc.nat(6)
})

describe('admission of a shard', () => {
  it('applies nothing old after a newer answer, and answers everyone in the end', () => {
    const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
    fc.assert(
      fc.property(fc.array(action, { maxLength: 120 }), actions => {
        const model = new Model()
        for (const { kind, pick, session } of actions) {
          const streams = [...model.streams.keys()]
          const stream = streams[streams.length - 1 - (pick % Math.max(1, streams.length))] ?? -1
          if (kind === 'grant') model.grant(pick % 3)
          else if (kind === 'open') model.open()
          else if (kind === 'connect') model.connect(pick % 10 === 0 ? 1 : 0, session)
          else model[kind](stream)
        }
        model.finish()
      }),
      { seed, numRuns: 2000 }
    )
  })

  it('refuses an older and an equal session of the same token, also after its stream is gone', () => {
    const seated = hello(initialAdmission(token(1)), 1, 5)
    expect(hello(step(seated.state, { type: 'gone', stream: 1 }).state, 2, 4).effects).toEqual([
      { type: 'refuse', stream: 2, requestId: 9, why: 'superseded' }
    ])
    expect(hello(seated.state, 3, 5).effects[0]).toMatchObject({ type: 'refuse' })
  })

  it('never answers a hello while a request of the session before is in flight', () => {
    const seated = hello(initialAdmission(token(1)), 1, 1)
    const busy = step(seated.state, { type: 'begin', stream: 1 })
    const next = hello(busy.state, 2, 2)
    expect(next.effects).toEqual([{ type: 'retire', stream: 1, why: 'superseded' }])
    expect(step(next.state, { type: 'begin', stream: 1 }).effects).toEqual([{ type: 'discard' }])
    expect(step(next.state, { type: 'settle', stream: 1 }).effects).toEqual([
      { type: 'welcome', stream: 2, requestId: 9 }
    ])
  })

  it('treats a request that begins before its hello was answered as our own bug', () => {
    const seated = hello(initialAdmission(token(1)), 1, 1)
    const busy = step(seated.state, { type: 'begin', stream: 1 })
    const next = hello(busy.state, 2, 2)
    expect(() => step(next.state, { type: 'begin', stream: 2 })).toThrow('broken invariant')
  })
})

function hello(state: Admission, stream: number, session: number) {
  return step(state, { type: 'hello', stream, token: token(1), session, requestId: 9 })
}
