// Goal: the simulator finds bugs. Each deliberate mistake of the table is caught within its bound of
// seeds; the code as shipped passes the very same seeds (simulator.test.ts).
// Method: the compiled runner in a process that loads one file with one text replaced.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { VARIANTS, type Variant } from './variants.ts'

const TIMEOUT_MS = 300_000
const path = (name: string) =>
  fileURLToPath(new URL(`../../dist/test/sim/${name}`, import.meta.url))

function runWith(variant: Variant): Promise<{ code: number | null; output: string }> {
  const args = ['--import', path('variant-loader.js'), path('main.js')]
  const { seeds, from = 1 } = variant
  const plan = ['--seeds', `${seeds}`, '--from', `${from}`, '--stop-at-failure']
  const env = { ...process.env, SHOAL_SIM_VARIANT: variant.name }
  return new Promise(resolve => {
    const child = spawn(process.execPath, [...args, ...plan], { env })
    let output = ''
    const take = (bytes: Buffer) => {
      output += bytes.toString()
    }
    child.stdout.on('data', take)
    child.stderr.on('data', take)
    child.on('close', code => resolve({ code, output }))
  })
}

describe('a deliberate mistake is found by the simulator', () => {
  for (const variant of VARIANTS) {
    it(
      `${variant.number}: ${variant.name}`,
      async () => {
        const { code, output } = await runWith(variant)
        expect(output).not.toContain('no longer applies')
        expect(output).toContain('FAILED: seed')
        expect(output).toContain('replay: node dist/test/sim/main.js --seed')
        expect(code).toBe(1)
      },
      TIMEOUT_MS
    )
  }
})
