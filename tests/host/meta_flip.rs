//! The flip runs while volumes are suspended: memory that has to be fetched from a suspended swap
//! would never come. It must not allocate.

use breakoff::meta::{self, Member, Observed};
use breakoff::model::*;
use breakoff::sys::Media;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: hands everything to the system's allocator unchanged; the counter is a plain thread-local
// cell without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A disk that allocates nothing itself.
#[derive(Clone)]
struct Plain {
    data: Rc<RefCell<Vec<u8>>>,
    broken: Rc<Cell<bool>>,
}

impl Media for Plain {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let at = offset as usize;
        buf.copy_from_slice(&self.data.borrow()[at..at + buf.len()]);
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        if self.broken.get() {
            return Err(io::Error::from_raw_os_error(libc::ENXIO));
        }
        let at = offset as usize;
        self.data.borrow_mut()[at..at + buf.len()].copy_from_slice(buf);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn size(&self) -> u64 {
        self.data.borrow().len() as u64
    }
}

fn disk(n: usize) -> (Plain, Member, Disk) {
    let media = Plain {
        data: Rc::new(RefCell::new(vec![0; 2 << 20])),
        broken: Rc::default(),
    };
    let label = meta::format_disk(&media, DiskId::random(), meta::AREA_MIN).unwrap();
    let disk = Disk {
        id: label.disk(),
        media: Name::parse(&format!("disk{n}")).unwrap(),
        data_start: label.geometry().data_start(),
        size: label.geometry().data_size(),
    };
    let member = Member {
        disk: disk.id,
        name: disk.media.to_string(),
        media: Box::new(media.clone()),
        label,
    };
    (media, member, disk)
}

#[test]
fn neither_the_flip_nor_looking_again_allocates() {
    for broken in 0..8u32 {
        let mut group = Group::new(Name::parse("g").unwrap(), HostId::random());
        let (mut media, mut members) = (Vec::new(), Vec::new());
        for (one, member, disk) in (0..3).map(disk) {
            media.push(one);
            members.push(member);
            group.disks.push(disk);
        }
        let mut prepared = meta::prepare(
            &mut members,
            &group,
            Generation::new(1),
            &meta::Lineage::default(),
        )
        .unwrap();
        for (n, media) in media.iter().enumerate() {
            media.broken.set((broken >> n) & 1 == 1);
        }
        let before = ALLOCATIONS.with(Cell::get);
        let result = prepared.flip();
        let observed = prepared.observe();
        let after = ALLOCATIONS.with(Cell::get);
        assert_eq!(after - before, 0);
        assert_eq!(
            observed,
            if broken == 7 {
                Observed::NotCommitted
            } else {
                Observed::Committed
            }
        );
        assert_eq!(result.failed, broken.count_ones() as usize);
        assert_eq!(
            result.errno.map(|errno| errno.0),
            (broken != 0).then_some(libc::ENXIO)
        );
    }
    assert!(
        ALLOCATIONS.with(Cell::get) > 0,
        "the counter must be able to count"
    );
}
