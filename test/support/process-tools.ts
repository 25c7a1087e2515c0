/**
 * `needs('fio', 'root')('title', body)` is `it('title', body)` where the tools are there. Where
 * they are not, the test is left out and its title says why; with SHOAL_TEST_ALL=1 (CI) it fails
 * instead. test/run.mjs finds these calls in the source, so write the names as plain texts.
 */
import { it } from 'vitest'
import { missing, type Need } from './process-packages.ts'

export function needs(...tools: Need[]): (title: string, body: () => Promise<void>) => void {
  const absent = missing(tools)
  return (title, body) => {
    if (absent.length === 0) it(title, body)
    else if (process.env.SHOAL_TEST_ALL === '1') it(title, () => fail(absent))
    else it.skip(`${title} (left out: no ${absent.join(', ')})`, body)
  }
}

function fail(absent: readonly Need[]): never {
  throw new Error(`SHOAL_TEST_ALL is set, and this machine lacks ${absent.join(', ')}`)
}
