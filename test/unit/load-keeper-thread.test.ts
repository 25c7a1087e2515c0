// Goal: the keeper's thread starts anew when it breaks, with all that it wrote, and stops in time with
// its last minute written.
// Method: a process of its own runs it from the built code; its files are read afterwards.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { KEEPER_RESTART_MIN_MS, KEEPER_STOP_MS } from '../../node/limits.ts'
import { openSeriesFiles } from '../../node/load/series-files.ts'
import { DrivenKeeper } from '../support/load-keeper.ts'
import { volumeId } from '../support/shard-harness.ts'

const LAUNCHER = new URL('../../dist/test/support/keeper-launcher.js', import.meta.url).pathname

const dir = mkdtempSync(join(tmpdir(), 'shoal-keeper-'))
afterAll(() => rmSync(dir, { recursive: true }))

function lived(): Promise<{ code: number | null; said: unknown[]; errors: string }> {
  const child = spawn(process.execPath, [LAUNCHER, dir], { stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let errors = ''
  child.stdout.on('data', text => {
    out += text
  })
  child.stderr.on('data', text => {
    errors += text
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => {
      const said = out.split('\n').filter(line => line !== '')
      resolve({ code, said: said.map((line): unknown => JSON.parse(line)), errors })
    })
  })
}

function numberOf(said: unknown, name: string): number {
  return Number(new Map(Object.entries(said ?? {})).get(name))
}

it('the thread of the keeper outlives its own failure, and ends with all written', async () => {
  const { code, said, errors } = await lived()
  expect(errors).toBe('')
  expect(code).toBe(0)
  const [first, failed, lost, second, closed, ...more] = said
  expect(first).toEqual({ known: 3, starts: 1 })
  expect([failed, lost]).toEqual(
    expect.arrayContaining([
      { error: expect.stringMatching(/Nowhere/), message: expect.stringMatching(/starts anew/) },
      { lost: expect.stringMatching(/is not running/) }
    ])
  )
  expect(second).toEqual({ known: 3, starts: 2, pausedMs: expect.any(Number) })
  expect(numberOf(second, 'pausedMs')).toBeGreaterThanOrEqual(KEEPER_RESTART_MIN_MS)
  expect(closed).toEqual({ closedMs: expect.any(Number), starts: 2 })
  expect(numberOf(closed, 'closedMs')).toBeLessThan(KEEPER_STOP_MS)
  expect(more).toEqual([])
  const keeper = new DrivenKeeper(openSeriesFiles(dir), Date.now())
  const range = { key: volumeId(1), step: 'minute', from: 0, to: 2 ** 32 } as const
  const { rows } = keeper.ask({ ask: 'rows', ...range })
  expect(rows.map(({ record }) => record.reads)).toEqual([1, 2, 3, 4])
  keeper.close()
})
