import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { LocalPod } from '../../../../cni/dataplane/local-pod.ts';
import { FORMER_FLOWS, formerOf } from '../../../../cni/dataplane/former.ts';
import { Program, type Update } from '../../../../cni/dataplane/program.ts';
import { RangeMap } from '../../../../cni/dataplane/range-map.ts';
import type { RangePlace } from '../../../../cni/dataplane/range-flows.ts';
import { endpointFlow, leavingFrontend, serviceProgram } from '../../../../cni/dataplane/service-flows.ts';
import { isOurGroup } from '../../../../cni/dataplane/tables.ts';
import { actionsText, groupText, placeOf } from '../../../../cni/dataplane/text.ts';
import { written } from '../../../../cni/openflow/bytes.ts';
import { writeMatch, type FieldValue } from '../../../../cni/openflow/fields.ts';
import type { Flow, Modification, SelectGroup } from '../../../../cni/openflow/program.ts';
import { frontendKey, type Frontend } from '../../../../cni/services/frontend.ts';
import { parseAddress, parseCidr } from '../../../../ipam/model/address.ts';

/**
 * A switch that carries out what it is told, as far as flows and groups go. To delete what is not
 * there is no mistake.
 */
class FakeSwitch {
  readonly flows = new Map<string, Flow>();
  readonly groups = new Map<number, SelectGroup>();
  readonly meters = new Set<number>();

  apply({ meters, changes, isWhole, grown, unused }: Update): void {
    const before = this.#lasting().length;
    for (const { id } of meters) this.meters.add(id);
    for (const change of changes) this.#change(change);
    for (const id of unused) this.meters.delete(id);
    this.#check();
    if (!isWhole) assert.equal(this.#lasting().length, before + grown);
  }

  #change(change: Modification): void {
    if (change.kind === 'put-flow') this.flows.set(placeOf(change.flow), change.flow);
    else if (change.kind === 'delete-flow') this.flows.delete(placeOf(change.flow));
    else if (change.kind === 'delete-flows') {
      for (const [place, { cookie }] of this.flows)
        if ((cookie & change.mask) === change.cookie) this.flows.delete(place);
    } else if (change.kind === 'put-group') this.groups.set(change.group.id, change.group);
    else if (change.kind === 'delete-group') this.groups.delete(change.id);
    else assert.fail(change.kind);
  }

  /** A switch refuses flows without their group, and drops them with it. */
  #check(): void {
    for (const { actions, ...flow } of this.flows.values())
      for (const action of actions) {
        if (action.kind === 'group') assert.ok(this.groups.has(action.group), placeOf(flow));
        if (action.kind === 'meter') assert.ok(this.meters.has(action.meter), placeOf(flow));
      }
  }

  /** What is there, without what goes by itself. */
  shown(): string[] {
    return shown(this.#lasting(), this.groups);
  }

  /** What the switch tells of its flows. */
  toldFlows(): Parameters<typeof formerOf>[0] {
    const [frontends = [], endpoints = []] = [FORMER_FLOWS.frontends, FORMER_FLOWS.endpoints].map(
      (selection) =>
        [...this.flows.values()]
          .filter(
            ({ table, cookie }) =>
              table === selection.table && (cookie & selection.mask) === selection.cookie,
          )
          .map(({ match }) => matchBytesOf(match)),
    );
    return { frontends, endpoints };
  }

  #lasting(): Flow[] {
    return [...this.flows.values()].filter(({ idleSeconds }) => idleSeconds === undefined);
  }
}

/** Without the header and the padding of a match. */
function matchBytesOf(match: readonly FieldValue[]): Buffer {
  const bytes = written((to) => writeMatch(to, match));
  return bytes.subarray(4, bytes.readUInt16BE(2));
}

function programOf(served: ReadonlyMap<string, Frontend>): Program {
  const program = new Program();
  for (const [key, frontend] of served) program.setFrontend(key, frontend);
  return program;
}

/** The place of the flow that sends a Service's packets through connection tracking. */
function trackedPlace(frontend: Frontend): string {
  const [track] = serviceProgram(frontend, 1, new RangeMap([])).flows;
  assert.ok(track);
  return placeOf(track);
}

/** Numbers of groups differ between programs: what they stand for counts. */
function shown(flows: readonly Flow[], groups: ReadonlyMap<number, SelectGroup>): string[] {
  const text = (flow: Flow): string =>
    flow.actions
      .map((action) => {
        if (action.kind !== 'group') return actionsText([action]);
        const group = groups.get(action.group);
        assert.ok(group && isOurGroup(group.id));
        return groupText({ ...group, id: 0 });
      })
      .join();
  return flows.map((flow) => `${placeOf(flow)} ${flow.cookie} ${text(flow)}`).sort();
}

const ENDPOINTS = ['10.20.0.9', '10.20.0.10', '192.0.2.7'].flatMap((address) =>
  [8080, 53].map((port) => ({
    ...{ address: parseAddress(address), port, nodeName: undefined, podUid: undefined },
  })),
);
const frontends: fc.Arbitrary<Frontend> = fc
  .record({
    address: fc.constantFrom('10.96.0.10', '10.96.0.11', '203.0.113.5').map((text) => parseAddress(text)),
    protocol: fc.constantFrom(6 as const, 17 as const),
    port: fc.constantFrom(53, 80),
    affinitySeconds: fc.constantFrom(undefined, undefined, 60),
    sourceRanges: fc.constantFrom(undefined, undefined, [parseCidr('10.20.0.0/22')]),
    endpoints: fc.subarray(ENDPOINTS),
  })
  .map((parts) => {
    const kind = parts.address.value === parseAddress('203.0.113.5').value ? 'external' : 'cluster';
    return { ...parts, kind, service: 'shop/web', portName: '' };
  });
const pods: fc.Arbitrary<LocalPod> = fc
  .record({
    number: fc.integer({ min: 1, max: 4 }),
    // Two ports may have one address for a moment.
    address: fc.integer({ min: 1, max: 3 }),
    ofport: fc.integer({ min: 1, max: 4 }),
    source: fc.boolean(),
    rate: fc.boolean(),
  })
  .map(({ number, address, ofport, source, rate }) => ({
    ...{ port: `cell${number}`, ofport, vlan: 120, mac: BigInt(address) },
    addresses: [parseAddress(`10.20.0.${address}`)],
    ...((source || rate) && {
      limits: {
        ...(source && { source: [] }),
        ...(rate && { fromPod: { kbps: 1_000, burstKbit: 500 } }),
      },
    }),
  }));
const RANGE: RangePlace = { name: 'blue', cidr: parseCidr('10.20.0.0/22'), vlan: 120, exclude: [] };

type Event =
  | { readonly kind: 'frontend'; readonly frontend: Frontend; readonly isThere: boolean }
  | { readonly kind: 'pods'; readonly pods: readonly LocalPod[] }
  | { readonly kind: 'range' | 'forget' | 'take' };
const events: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('frontend' as const),
      frontend: frontends,
      isThere: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc
      .uniqueArray(pods, { selector: ({ port }) => port, maxLength: 4 })
      // No two ports have one number.
      .map((all) => all.filter(({ ofport }, i) => all.findIndex((each) => each.ofport === ofport) === i))
      .map((all) => ({ kind: 'pods' as const, pods: all })),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom<Event>(
      { kind: 'take' },
      { kind: 'take' },
      { kind: 'range' },
      { kind: 'forget' },
    ),
  },
);

suite("what changes in the bridge's program", () => {
  test('brings the bridge to what the whole program is, whatever came before', () =>
    fc.assert(
      fc.property(fc.array(events, { maxLength: 40 }), (all) => {
        const program = new Program();
        const bridge = new FakeSwitch();
        const served = new Map<string, Frontend>();
        let last: readonly LocalPod[] = [];
        let ranges: readonly RangePlace[] = [];
        for (const event of [...all, { kind: 'take' } as const]) {
          if (event.kind === 'frontend') {
            const key = frontendKey(event.frontend);
            if (event.isThere) served.set(key, event.frontend);
            else served.delete(key);
            program.setFrontend(key, served.get(key));
          } else if (event.kind === 'pods') program.setPods((last = event.pods));
          else if (event.kind === 'range') program.setRanges((ranges = ranges.length > 0 ? [] : [RANGE]));
          else if (event.kind === 'forget') program.forget();
          else bridge.apply(program.take());
        }
        const fresh = new Program();
        fresh.setRanges(ranges);
        fresh.setPods(last);
        for (const [key, frontend] of served) fresh.setFrontend(key, frontend);
        const expected = new FakeSwitch();
        expected.apply(fresh.take());
        // Another keeper removes the groups that are left after a lost connection.
        assert.deepEqual(bridge.shown(), expected.shown());
        assert.deepEqual(
          [...bridge.meters].filter(
            (id) =>
              !expected.meters.has(id) && !all.some(({ kind }) => kind === 'forget' || kind === 'range'),
          ),
          [],
        );
      }),
      { numRuns: 400 },
    ));

  test('as long as not all Services are known, only the flows of the node are sent', () => {
    const program = new Program();
    const bridge = new FakeSwitch();
    const [frontend] = fc.sample(frontends, { numRuns: 1, seed: 1 });
    assert.ok(frontend);
    program.setFrontend('x', frontend);
    bridge.apply(program.take(false));
    assert.equal(
      [...bridge.flows.values()].some(({ cookie }) => cookie >> 40n === 0xce1102n),
      false,
    );
    bridge.apply(program.take(true));
    assert.equal(
      [...bridge.flows.values()].some(({ cookie }) => cookie >> 40n === 0xce1102n),
      true,
    );
  });

  test('what an earlier program served and this one does not: open connections of it go on', () =>
    fc.assert(
      fc.property(fc.array(frontends), fc.array(frontends), (earlier, now) => {
        const bridge = new FakeSwitch();
        const [before, after] = [earlier, now].map(
          (all) => new Map(all.map((frontend) => [frontendKey(frontend), frontend])),
        );
        assert.ok(before && after);
        bridge.apply(programOf(before).take());
        const update = programOf(after).take(true, formerOf(bridge.toldFlows()));
        bridge.apply(update);
        const fresh = new FakeSwitch();
        fresh.apply(programOf(after).take());
        assert.deepEqual(bridge.shown(), fresh.shown());

        const isTcp = ({ protocol }: Frontend): boolean => protocol === 6;
        // New connections are refused only where the address is a Service's own.
        for (const frontend of [...before.values()].filter(isTcp)) {
          if (after.has(frontendKey(frontend))) continue;
          const [, refuses] = leavingFrontend({ ...frontend, isCluster: frontend.kind === 'cluster' });
          assert.ok(refuses);
          assert.deepEqual(bridge.flows.get(placeOf(refuses))?.actions, refuses.actions);
        }
        const tracked = [...before.values()].filter(isTcp).map(trackedPlace);
        assert.deepEqual(
          tracked.filter((place) => !bridge.flows.has(place)),
          [],
        );
        const repliesOf = (all: Map<string, Frontend>, protocol: number): string[] =>
          [...all.values()]
            .filter((frontend) => frontend.protocol === protocol)
            .flatMap(({ endpoints }) => endpoints.map(({ address, port }) => `${address.value} ${port}`));
        const replies = [...before.values()]
          .filter(isTcp)
          .flatMap(({ endpoints }) =>
            endpoints.map((each) => placeOf(endpointFlow({ ...each, protocol: 6 }))),
          );
        assert.deepEqual(
          replies.filter((place) => !bridge.flows.has(place)),
          [],
        );
        const served = new Set(repliesOf(after, 17));
        assert.deepEqual(
          update.gone.map(({ endpoint }) => `${endpoint.address.value} ${endpoint.port}`).sort(),
          [...new Set(repliesOf(before, 17).filter((each) => !served.has(each)))].sort(),
        );
      }),
      { numRuns: 200 },
    ));

  test('connections of UDP to an endpoint that went are named, those of TCP are not', () => {
    for (const protocol of [6, 17] as const) {
      const program = new Program();
      const frontend: Frontend = {
        ...{ service: 'a/b', portName: '', kind: 'cluster', protocol, port: 53 },
        ...{ address: parseAddress('10.96.0.10'), affinitySeconds: undefined, sourceRanges: undefined },
        endpoints: ENDPOINTS.slice(0, 2),
      };
      program.setFrontend('x', frontend);
      program.take();
      program.setFrontend('x', { ...frontend, endpoints: ENDPOINTS.slice(0, 1) });
      assert.deepEqual(
        program.take().gone.map(({ endpoint: { protocol: _, ...endpoint } }) => endpoint),
        protocol === 17 ? ENDPOINTS.slice(1, 2) : [],
      );
    }
  });
});
