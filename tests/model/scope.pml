/* The protocol of a scope, step by step as src/lastout takes them.
 *
 *   a member   joins -> records, makes, forks, releases, keeps, loses its descriptors -> leaves
 *   beside it  lastout.reap(), a guardian, and a killer that strikes between any two steps
 *
 * Each is a process of spin, which goes through every order in which their steps can
 * come.  What must always hold is asserted where it could break; `Watch` looks at every
 * single state.
 *
 *   -DN=2          how many members there can be (2 or 3), forked ones included
 *   -DROOTS=2      how many of them are not forked by another one
 *   -DKILLS=1      how many processes are killed, at most
 *   -DLOOKS=1      how often lastout.reap() is called meanwhile; once more at the end
 *   -DREFUSALS=1   how many cleanups fail, at most
 *   -DKEEPS=1      how many things are kept, at most
 *   -DGUARDIAN     there is one; it may be killed as well
 *   -DDAEMONS     a member may close all its descriptors, as daemons do
 *   -DWAITS        whoever cleans lets go of the scope meanwhile, and keeps its cleaner.lock
 *   -DLOCK_ONLY    pids tell nothing, as those of another container; only the locks do
 *
 * A wrong variant is a macro too; test_model.py lists them, and what each breaks.
 */
#ifndef N
#define N 2
#endif
#ifndef ROOTS
#define ROOTS N
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef LOOKS
#define LOOKS 1
#endif
#ifndef REFUSALS
#define REFUSALS 0
#endif
#ifndef KEEPS
#define KEEPS 0
#endif
#define REAPER N
#define WARDEN (N + 1)
#define EVERYBODY (N + 2)
#define NOBODY 255
#define DIRECTORIES (N + 4) /* numbered from 1; 0 is none */
#define BIT(who) (1 << (who))
#if N == 2
#define ANY(true_of, x) (true_of(0, x) || true_of(1, x))
#define ENTERED(x) (entered[0] == x || entered[1] == x || entered[2] == x || entered[3] == x)
#else
#define ANY(true_of, x) (true_of(0, x) || true_of(1, x) || true_of(2, x))
#define ENTERED(x) \
  (entered[0] == x || entered[1] == x || entered[2] == x || entered[3] == x || entered[4] == x)
#endif

mtype = { unborn, promised, alive, over }; /* promised: somebody is about to fork it */

/* On disk and in the kernel. */
byte named;                 /* the directory that the scope's name leads to */
bool garbage[DIRECTORIES];  /* it was moved away, and is still to be deleted */
byte turn[DIRECTORIES];     /* who holds its scope.lock: 0, or who + 1 */
#ifdef WAITS
byte busy[DIRECTORIES];     /* who holds its cleaner.lock: 0, or who + 1 */
#endif
byte entered[EVERYBODY];    /* the directory that this process has open */
mtype state[EVERYBODY] = unborn;
byte lies[N];               /* the directory in which this member's journal can be seen */
byte opened[N];             /* the processes that have it open, as bits */
bool locked[N];             /* it is locked, for as long as any of them has it open */
bool says_who[N], says_left[N], says_made[N], says_begun[N], says_done[N], says_kept[N];
bool there[N];              /* the one thing that this member makes */

/* In memory. */
bool own[N];                /* its thing has the lifetime "member", not "scope" */
byte parent[N];
chan sigkill[EVERYBODY] = [0] of { bit };
bool news;                  /* wakes the guardian: somebody died */
#ifdef GUARDIAN
bool guarded = true;
#else
bool guarded = false;
#endif
byte refusals = REFUSALS, keeps = KEEPS, spare = N - ROOTS, ended;

/* Only for the assertions. */
byte home[N];               /* the directory of the scope that it relies on */
byte hand[N];               /* who is cleaning its thing: 0, or who + 1 */
bool ran[N];                /* the cleanup ran */
bool spared[N];             /* that it is to be kept was written down */
bool cut[N];                /* ... and whoever ran it was killed before saying so */
byte forking;               /* forked pairs that have yet to close what is not theirs, as bits */
bool relieved;              /* the guardian came to its own end */
byte cleaner[DIRECTORIES];  /* who is cleaning up after the dead there: 0, or who + 1 */

#define LIES_IN(m, x) (lies[m] == x)
#define HOME_IS(m, x) (home[m] == x)
#define RELIES(m, x) (home[m] == x && state[m] == alive)
#define THERE(m, x) (there[m] && !spared[m])
#define HAS_JOURNAL(m, x) (lies[m])
#define LOST(m, x) \
  (there[m] && !spared[m] && !(says_made[m] && !SETTLED(m) && lies[m] && lies[m] == named))
#define SETTLED(m) (says_done[m] || says_kept[m])
#ifdef KEPT_UNREAD
#define DUE(m) (says_made[m] && !says_done[m])
#else
#define DUE(m) (says_made[m] && !SETTLED(m))
#endif
#define HELD(m) (locked[m] && opened[m])
#ifdef LOCK_ONLY
#define RUNS(m) false
#else
#define RUNS(m) (says_who[m] && state[m] == alive)
#endif
#ifdef DEAD_BY_LOCK
#define DEAD(m) (!HELD(m))
#elif defined(DEAD_BY_PID)
#define DEAD(m) ((says_who[m] && state[m] == over) || (!says_who[m] && state[parent[m]] == over))
#else
#define DEAD(m) (!HELD(m) && (says_left[m] || !RUNS(m)))
#endif

/* --- holding a scope: entered[me] is its directory then, or 0 if there is none */

inline let_go() {
  d_step {
    if :: turn[entered[me]] == me + 1 -> turn[entered[me]] = 0 :: else fi;
    entered[me] = 0
  }
}

inline hold(create) {
  do
  :: d_step { named == 0 && create -> /* mkdir: a number that nobody remembers */
       i = 1;
       do
       :: garbage[i] || turn[i] || ENTERED(i) || ANY(LIES_IN, i) || ANY(HOME_IS, i) -> i++
       :: else -> break
       od;
       named = i; i = 0 }
  :: named == 0 && !create -> break
  :: atomic { named != 0 -> entered[me] = named };
     atomic { turn[entered[me]] == 0 -> turn[entered[me]] = me + 1 };
#ifdef NO_SECOND_LOOK
     break
#else
     if
     :: named == entered[me] -> break
     :: else -> let_go() /* it was swept while we waited */
     fi
#endif
  od
}

/* --- waiting for a process, and for who waits for one: the scope is let go of */

#ifdef WAITS
#define OTHERS_TURN (busy[entered[me]] && busy[entered[me]] != me + 1)

inline hold_again() { /* `swept`: it is not there any more */
  atomic { turn[entered[me]] == 0 -> turn[entered[me]] = me + 1; swept = (named != entered[me]) }
}

inline await_turn() {
  swept = false;
  do
  :: OTHERS_TURN && !swept ->
     turn[entered[me]] = 0;
     !OTHERS_TURN;
     hold_again()
  :: else -> break
  od
}

inline give_up_turn() {
  d_step { if :: busy[entered[me]] == me + 1 -> busy[entered[me]] = 0 :: else fi }
}

inline let_go_meanwhile() {
#ifndef NO_TURN
  d_step { assert(!OTHERS_TURN); busy[entered[me]] = me + 1 };
#endif
  turn[entered[me]] = 0
}
#endif

/* --- surveying: `living` and `gone`, as bits */

inline survey(leaving) {
  do
  :: !listed && !sure -> d_step { /* list the directory */
       do
       :: i < N -> listed = listed | (lies[i] == entered[me] -> BIT(i) : 0); i++
       :: else -> break
       od;
       i = 0; listed = listed & ~(living | gone);
#ifdef ONE_LISTING
       sure = true }
#else
       sure = !listed } /* one that is dead now may have forked since it was listed */
#endif
  :: listed -> d_step { /* look at one of them */
       do :: listed & BIT(q) -> break :: else -> q++ od;
       listed = listed & ~BIT(q);
       if
       :: q == leaving || DEAD(q) -> gone = gone | BIT(q)
       :: else ->
          living = living | BIT(q);
          assert(state[q] != over || forking) /* who is dead is seen dead */
       fi;
       q = 0 }
  :: !listed && sure -> sure = false; break
  od
}

/* --- cleaning up after the dead */

inline begin(m) {
  d_step { assert(!hand[m] && !says_done[m]); hand[m] = me + 1; says_begun[m] = true }
}

inline remove(m) { /* I4: what was cleaned is not cleaned again */
  assert(!ran[m] || cut[m]); there[m] = false; ran[m] = true
}

inline finish(m) { d_step { says_done[m] = true; hand[m] = 0 } }

inline clean(m) {
#ifdef DONE_FIRST
  d_step { says_begun[m] = true; says_done[m] = true };
  remove(m)
#else
  begin(m);
#ifdef WAITS
  let_go_meanwhile();
#endif
  if
  :: d_step {
       assert(!own[m] || !RELIES(m, entered[me])); /* I2 */
       assert(own[m] || !ANY(RELIES, entered[me]));
       assert(!spared[m]); /* I1 */
       remove(m) };
#ifdef WAITS
     hold_again(); assert(!swept);
#endif
     finish(m)
  :: d_step { refusals > 0 -> refusals--; hand[m] = 0; stays = stays | BIT(m) }
#ifdef WAITS
     ; hold_again(); assert(!swept)
#endif
  fi
#endif
}

inline drop(m) { /* its journal, and all that stands in it */
  lies[m] = 0;
  says_who[m] = false; says_left[m] = false;
  says_made[m] = false; says_begun[m] = false; says_done[m] = false; says_kept[m] = false
}

inline delete(which) { /* the journals in a directory, and the directory */
  i = 0;
  do
  :: i < N && lies[i] == which -> drop(i); i++
  :: i < N && lies[i] != which -> i++
  :: else -> break
  od;
  i = 0; garbage[which] = false;
  if :: named == which -> named = 0 :: else fi
}

inline sweep() {
#ifdef SWEEP_IN_PLACE
  turn[entered[me]] = 0; /* scope.lock is unlinked; whoever comes locks a new one */
#else
  d_step { named = 0; garbage[entered[me]] = true };
#endif
  d_step { delete(entered[me]) };
  swept = true
}

inline forget() { /* journals in which nothing is left */
  d_step {
    i = 0;
    do
    :: i < N && ((gone & ~stays) & BIT(i)) -> drop(i); i++
    :: i < N && !((gone & ~stays) & BIT(i)) -> i++
    :: else -> break
    od;
    i = 0
  }
}

inline reap(leaving) {
  survey(leaving);
#ifdef SWEEP_UNHELD
  atomic { if :: leaving != NOBODY -> locked[me] = false; turn[entered[me]] = 0 :: else fi };
#endif
  atomic { assert(!cleaner[entered[me]]); cleaner[entered[me]] = me + 1; q = N }; /* I4 */
  do
  :: q == 0 -> break
  :: q > 0 -> q--;
     if
     :: (gone & BIT(q)) && DUE(q) ->
        if
        :: living && !own[q] -> stays = stays | BIT(q)
        :: else ->
           clean(q);
#if defined(WAITS) && !defined(DECIDED_ONCE)
           d_step { living = 0; gone = 0; stays = 0; q = 0 };
           survey(leaving);
           q = N
#endif
        fi
     :: else
     fi
  od;
  atomic { cleaner[entered[me]] = 0; swept = false };
  if
  :: living == 0 && stays == 0 -> sweep()
  :: else -> forget()
  fi;
  d_step { living = 0; gone = 0; stays = 0 }
#ifdef WAITS
  ; give_up_turn()
#endif
}

inline look_around() { /* of somebody who is no member, and holds the scope if there is one */
#ifdef WAITS
  if
  :: entered[me] ->
     await_turn();
     if :: swept :: else -> reap(NOBODY) fi
  :: else
  fi
#else
  if :: entered[me] -> reap(NOBODY) :: else fi
#endif
}

/* --- what a member does */

inline publish(m, where) {
#ifdef SEEN_BEFORE_LOCKED
  d_step { opened[m] = BIT(me); lies[m] = where };
  locked[m] = true
#else
  d_step { opened[m] = BIT(me); locked[m] = true };
  lies[m] = where
#endif
}

inline join() {
  do
  :: hold(true);
#ifdef JOIN_UNHELD
     turn[entered[me]] = 0; swept = false;
#else
     if
#ifndef WAITS
     :: ANY(LIES_IN, entered[me]) -> reap(NOBODY)
#elif defined(JOIN_BUSY)
     :: ANY(LIES_IN, entered[me]) && !OTHERS_TURN -> reap(NOBODY)
#else
     :: ANY(LIES_IN, entered[me]) ->
        await_turn();
        if :: swept :: else -> reap(NOBODY) fi
#endif
     :: else -> swept = false
     fi;
#endif
     if
     :: swept -> let_go() /* the dead were the last ones: that scope is no more */
     :: else -> break
     fi
  od;
  says_who[me] = true; /* written before it can be seen */
  publish(me, entered[me]);
  home[me] = entered[me];
  let_go()
}

inline make() {
  if :: own[me] = true :: true fi;
#ifdef MAKE_FIRST
  there[me] = true; says_made[me] = true
#else
  says_made[me] = true; there[me] = true
#endif
}

inline fork(child) {
#ifndef CHILD_JOINS
  assert(named == home[me]);
  publish(child, named);
#endif
  d_step { /* the child has open what its parent has */
    if
    :: opened[child] ->
       opened[child] = opened[child] | BIT(child); forking = forking | BIT(child)
    :: else
    fi;
    if
    :: opened[me] & BIT(me) ->
       opened[me] = opened[me] | BIT(child); forking = forking | BIT(child + 4)
    :: else
    fi;
    home[child] = home[me]; state[child] = alive
  };
  d_step {
#ifndef PARENT_KEEPS
    opened[child] = opened[child] & ~BIT(me);
#endif
    forking = forking & ~BIT(child)
  }
}

inline become_child() {
  d_step {
#ifdef CHILD_UNLOCKS
    locked[parent[me]] = false;
#endif
#ifndef CHILD_KEEPS
    opened[parent[me]] = opened[parent[me]] & ~BIT(me);
#endif
    forking = forking & ~BIT(me + 4)
  };
#ifdef CHILD_JOINS
  join()
#else
  says_who[me] = true
#endif
}

#define MAY_RELEASE(m) \
  (((living | gone) & BIT(m)) && DUE(m) \
   && (m == me || !says_begun[m] || (gone & BIT(m))))

inline release(m) { /* that nobody needs it any more is for the user to know: only I4 counts */
#ifdef RELEASE_UNCLAIMED
  if :: m == me -> remove(m); finish(m) :: else fi;
#endif
  hold(false);
#if defined(WAITS) && !defined(RELEASE_BUSY)
  if :: entered[me] && (m != me || says_begun[me]) -> await_turn() :: else fi;
#endif
  if :: m == me -> living = BIT(me) :: else -> survey(NOBODY) fi;
  if
  :: MAY_RELEASE(m) ->
     begin(m);
#ifdef WAITS
     if :: m == me -> let_go() :: else -> let_go_meanwhile() fi; /* it may take long */
     d_step { remove(m) };
     if :: m != me -> hold_again(); assert(!swept) :: else fi;
     finish(m);
     give_up_turn()
#else
     if :: m == me -> let_go() :: else fi; /* one's own: it may take long */
     d_step { remove(m) };
     finish(m)
#endif
  :: else
  fi;
  d_step { living = 0; gone = 0 };
  let_go()
}

inline keep(m) {
#if !defined(KEEP_UNHELD)
  if :: m != me -> hold(false) :: else fi;
#if defined(WAITS) && !defined(KEEP_BUSY)
  if :: m != me && entered[me] -> await_turn() :: else fi;
#endif
#endif
  if
  :: m == me -> d_step { says_kept[m] = true; spared[m] = true }
#ifdef KEEP_MISPLACED
  :: d_step { m != me && lies[m] && lies[m] == named -> says_kept[me] = true; spared[m] = true }
#else
  :: d_step { m != me && lies[m] && lies[m] == named -> says_kept[m] = true; spared[m] = true }
#endif
  :: else /* all that it made was cleaned */
  fi;
  let_go()
}

inline leave() {
  home[me] = 0;
  if
  :: own[me] && DUE(me) ->
#ifdef OWN_UNCLAIMED
     d_step { remove(me) }; finish(me)
#else
     release(me)
#endif
  :: else
  fi;
#ifdef UNLOCK_FIRST
  locked[me] = false;
#endif
  hold(false);
  assert(entered[me] && lies[me] == entered[me]);
#ifdef WAITS
  if
  :: OTHERS_TURN -> /* whoever has it looks anew; and it may be waiting for us */
     if :: true :: await_turn(); assert(!swept); reap(me) fi
  :: else -> reap(me)
  fi;
#else
  reap(me);
#endif
  if :: lies[me] -> says_left[me] = true :: else fi;
  d_step { locked[me] = false; opened[me] = opened[me] & ~BIT(me) };
  let_go()
}

inline die() { /* what the kernel does */
  d_step {
    cleaner[entered[me]] = (cleaner[entered[me]] == me + 1 -> 0 : cleaner[entered[me]]);
    turn[entered[me]] = (turn[entered[me]] == me + 1 -> 0 : turn[entered[me]]);
#ifdef WAITS
    busy[entered[me]] = (busy[entered[me]] == me + 1 -> 0 : busy[entered[me]]);
#endif
    entered[me] = 0;
    i = 0;
    do
    :: i < N ->
       opened[i] = opened[i] & ~BIT(me);
       cut[i] = cut[i] || (hand[i] == me + 1 && ran[i]);
       hand[i] = (hand[i] == me + 1 -> 0 : hand[i]);
       if
       :: state[i] == promised && parent[i] == me -> state[i] = over; ended++
       :: parent[i] == me && i != me -> forking = forking & ~BIT(i)
       :: else
       fi;
       i++
    :: else -> break
    od;
    i = 0; state[me] = over; news = true
  }
}

#define OTHER ((me + 1) % N)

inline forget_all() { /* what no step needs again would only make more states */
  i = 0; q = 0; listed = 0; living = 0; gone = 0; stays = 0;
  sure = false; swept = false; forked = false; asked = false; lifted = false
}

proctype Member(byte me) {
  byte i, q, listed, living, gone, stays;
  bool sure, swept, forked, asked, lifted;
  if
  :: me < ROOTS -> d_step { state[me] = alive; parent[me] = me }
  :: me >= ROOTS && state[me] == alive
  :: me >= ROOTS && state[me] == over -> goto nothing /* its parent was killed too early */
  :: d_step { state[me] == unborn && me >= ROOTS && ended + spare == N ->
       state[me] = over; spare--; ended++ }; /* nobody is left to fork it */
     goto nothing
  fi;
  {
    if
    :: me < ROOTS -> join()
    :: else -> become_child()
    fi;
    do
    :: !says_made[me] -> make()
    :: DUE(me) -> release(me)
    :: d_step { keeps && DUE(me) -> keeps-- }; keep(me)
    :: d_step { keeps && there[OTHER] && lies[OTHER] == home[me] -> keeps-- }; keep(OTHER)
    :: !asked && there[OTHER] && lies[OTHER] == home[me] -> asked = true; release(OTHER)
    :: d_step {
         !forked && spare -> forked = true; spare--; q = ROOTS;
         do :: state[q] == unborn -> break :: else -> q++ od;
         state[q] = promised; parent[q] = me; stays = q; q = 0 };
       fork(stays);
       stays = 0
#ifdef DAEMONS
    :: !lifted -> lifted = true; /* it closes all descriptors, as daemons do */
       opened[me] = opened[me] & ~BIT(me)
#endif
    :: leave(); break
    od;
    atomic {
      if :: state[me] = over :: true fi; /* or it lives on, outside */
      ended++; forget_all()
    }
  } unless {
    atomic { sigkill[me] ? 1 -> die(); ended++; forking = forking & ~BIT(me + 4); forget_all() }
  };
nothing:
  skip
}

/* --- beside them */

active proctype Killer() {
  byte left = KILLS;
  do
  :: left > 0 ->
     left--;
end: if
     :: sigkill[0] ! 1
     :: sigkill[1] ! 1
#if N > 2
     :: sigkill[2] ! 1
#endif
#ifdef GUARDIAN
     :: sigkill[WARDEN] ! 1
#endif
     fi
  :: else -> break
  od
}

active proctype Reaper() {
  byte me = REAPER, i, q, listed, living, gone, stays, looks = LOOKS;
  bool sure, swept, last;
  do
  :: !last ->
     if
     :: looks > 0 -> looks--
     :: ended == N && !guarded -> last = true; refusals = 0;
#if defined(GUARDIAN) && REFUSALS == 0
        assert(!relieved || !(ANY(THERE, 0) || named)) /* it needs no help */
#endif
     fi;
     hold(false);
     look_around();
     let_go();
     atomic { /* what sweepers that were killed have left */
       q = 1;
       do
       :: q < DIRECTORIES && garbage[q] -> delete(q)
       :: q < DIRECTORIES && !garbage[q] -> q++
       :: else -> break
       od;
       q = 0 }
  :: else -> break
  od;
  assert(!ANY(THERE, 0) && !ANY(HAS_JOURNAL, 0) && !named) /* I1: nothing is lost */
}

#ifdef GUARDIAN
active proctype Guardian() {
  byte me = WARDEN, i, q, listed, living, gone, stays;
  bool sure, swept;
  {
    do
    :: news ->
#ifndef GUARD_FORGETS
       news = false;
#endif
#ifdef GUARD_UNHELD
       entered[me] = named;
#else
       hold(false);
#endif
       look_around();
       let_go();
#ifdef GUARD_FORGETS
       news = false
#endif
    :: ended == N && !news -> break
    od;
    guarded = false; relieved = true
  } unless { atomic { sigkill[me] ? 1 -> die(); guarded = false } }
}
#endif

active proctype Watch() { /* I1, at every state: what is there is recorded where all will look */
end:
  if :: ANY(LOST, 0) -> assert(!ANY(LOST, 0)) fi
}

init {
  byte m;
  atomic { do :: m < N -> run Member(m); m++ :: else -> break od }
}
